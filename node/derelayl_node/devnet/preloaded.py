"""What a devnet's processes run, loaded once in the process that they are forked from."""

from derelayl_training.loading import loading

with loading():
    from .. import peer
    from ..cli import chain, node
    from ..devchain import server

__all__ = ["chain", "node", "peer", "server"]
