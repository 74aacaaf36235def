"""A relay without chain or sockets: four sites hand a network on, three others judge, the ledger's rules decide."""

import derelayl

sites, test = derelayl.deal("mnist-5k", 7, "dirichlet:0.5", seed=1)
relay = derelayl.Relay("small-cnn", trainers=sites[:4], validators=sites[4:], rules=derelayl.MINIMAL, seed=1)
for _ in range(5):
    for lease in relay.lease():  # everybody bids, the ledger matches
        lease.train(steps=20)  # on the trainer's own data
    for leg in relay.settle():  # a drawn committee judges on data of its own; the ledger selects and pays
        print(f"leg {leg.leg}: gain {leg.score / 1e6:+.3f}, {'selected' if leg.selected else 'not selected'}")
print(f"{relay.best.accuracy(test):.1%} of the samples that nobody had are right")
for checkpoint in relay.best.lineage():
    print(checkpoint)
for line in relay.statement(relay.best.trainer):
    print(line.sentence)
