"""Keeps Python's recursion limit at what a thread's stack can bear."""

import sys

SAFE_RECURSION_LIMIT = 12_288
"""Frames: what py-evm needs for 1,024 nested calls; nested JSON of that depth still fits a stack of 8 MiB."""


def restrain_recursion() -> None:
    """Undo what py_ecc does when it is imported: it sets the limit to 100,000.

    With that, a few bytes of nested JSON from a stranger overflow the stack of C and kill the process, where Python
    would have raised RecursionError. Call it after the imports of every module that imports web3, eth_account,
    eth_keyfile or py-evm.
    """
    sys.setrecursionlimit(min(sys.getrecursionlimit(), SAFE_RECURSION_LIMIT))
