"""For tests of what is built on a node: its ports in memory, with the failures that a test can ask for.

Public as `trio.testing` is; docs/PYTHON.md lists what each fake offers. None needs torch, sockets or a chain.

* `clock.FakeClock`: `Clock` that stands still until a test moves it
* `ledger.FakeChain`: the reference rules on a chain that can be silent or rolled back; `account()` gives a `Ledger`
* `network.FakeHub`: wires between nodes, with peers that stall, lie or are gone; `join()` gives a `PeerNetwork`
* `store.MemoryStore`: `CheckpointStore` with a limit and damage on request
* `trainer.FakeTrainer`: `Trainer` that moves numbers to an optimum instead of learning
* `history`, `manifested`: event logs written by hand, the second with manifests whose roots can be proven

Each fake of a port passes the suite in tests/node/conformance that the real adapter passes.
"""
