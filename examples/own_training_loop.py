"""A leg around a loop of your own: any PyTorch loop may train the leased segment; the relay only asks for the child."""

import torch
from torch.nn.functional import cross_entropy

import derelayl


def own_loop(network: torch.nn.Module, inputs: torch.Tensor, labels: torch.Tensor, steps: int) -> None:
    """Adam on random batches; only what was leased asks for a gradient."""
    leased = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(leased, lr=3e-3)
    draw = torch.Generator().manual_seed(1)
    network.train()
    for _ in range(steps):
        batch = torch.randint(len(labels), (32,), generator=draw)
        optimiser.zero_grad()
        cross_entropy(network(inputs[batch]), labels[batch]).backward()
        optimiser.step()


sites, test = derelayl.deal("mnist-5k", 4, seed=2)
relay = derelayl.Relay("small-cnn", trainers=sites[:2], validators=sites[2:], seed=2)
mine, other = relay.lease(segment=0)
network = mine.network()  # the weights that a leg starts from
own_loop(network, *mine.samples(), steps=20)
child = mine.submit(network, method="adam of my own", steps=20)  # refused if it changed another segment
other.train(steps=20)  # the competitor uses the default recipe
for leg in relay.settle():
    print(f"leg {leg.leg}: gain {leg.score / 1e6:+.3f}, {'selected' if leg.selected else 'not selected'}")
print(f"{child}: {child.accuracy(test):.1%}, trained by {child.manifest.header.training['method']}")
