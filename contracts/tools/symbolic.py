"""Run halmos on test/symbolic: python tools/symbolic.py [halmos' options], with the environment of requirements.txt.

Two things are put right. halmos 0.3.3 models the SHA-256 precompile with the input's bytes counted as bits, which z3
then refuses; and its solvers find no proof for `a * b / c`, so tools/prove.py answers.
"""

import os
import sys
from pathlib import Path

from halmos import __main__, sevm
from z3 import BitVecSort, FuncDeclRef, SortRef

CONTRACTS = Path(__file__).parents[1]
BUILD = "cache/halmos/out"
MOST_ITERATIONS = "16"
SHA256 = "f_sha256_"

declare = sevm.Function


def declare_with_bits(name: str, *sorts: SortRef) -> FuncDeclRef:
    """Declare an uninterpreted function, that of SHA-256 over eight bits for each byte."""
    if name.startswith(SHA256):
        sorts = (BitVecSort(8 * int(name.removeprefix(SHA256))), *sorts[1:])
    return declare(name, *sorts)


def main() -> int:
    """Prove every check; 0 if all of them hold."""
    sevm.Function = declare_with_bits
    os.chdir(CONTRACTS)
    os.environ["FOUNDRY_PROFILE"] = "halmos"
    os.environ["PATH"] = f"{CONTRACTS / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}"
    solver = f"{sys.executable} {CONTRACTS / 'tools' / 'prove.py'}"
    fixed = ["--forge-build-out", BUILD, "--loop", MOST_ITERATIONS, "--solver-command", solver]
    return int(__main__._main([*fixed, *sys.argv[1:]]).exitcode)


if __name__ == "__main__":
    sys.exit(main())
