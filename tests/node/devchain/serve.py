"""Serve a chain from a process of its own, to be killed: python serve.py FILE PORT."""

import sys
from pathlib import Path

from derelayl_node.devchain.server import run_chain
from derelayl_node.keys import NodeKey

if __name__ == "__main__":
    balances: dict[str, int] = {NodeKey(bytes([number]) * 32).address: 10**21 for number in (1, 2)}
    sys.exit(run_chain(Path(sys.argv[1]), int(sys.argv[2]), 31337, balances))
