#!/usr/bin/env bash
# Expected: importing a library for accounts and key files leaves the interpreter as it is, and loads what it needs.
# Happens:  import eth_account (and so import web3) raises Python's recursion limit from 1,000 to 100,000 for the whole
#           process, and computes the BLS12-381 curve, although neither signing nor Ethereum's usual key files use it:
#           eth_keyfile imports py_ecc for the key files of validators.
# Versions: eth-account 0.14.0, eth-keyfile 0.10.0, py_ecc 8.0.0, web3 8.0.0; seen 2026-11-30.
# Matters to whoever relies on RecursionError for deeply nested input (set the limit back after the import), and to
# programs of many short processes (the curve takes about a third of a second of processor time).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    "web3==8.0.0" "eth-account==0.14.0" "eth-keyfile==0.10.0" "py_ecc==8.0.0"

cat >"$work/program.py" <<'PY'
import importlib
import importlib.metadata
import sys
import time

library = sys.argv[1]
before, started = sys.getrecursionlimit(), time.process_time()
importlib.import_module(library)
after, seconds = sys.getrecursionlimit(), time.process_time() - started
curve = "py_ecc.optimized_bls12_381.optimized_pairing" in sys.modules
version = importlib.metadata.version(library.replace("_", "-"))
print(f"{library} {version}: recursion limit {before} to {after}, BLS12-381 loaded: {curve}, {seconds:.2f} s")
if (before, after, curve) != (1000, 100_000, True):
    sys.exit("changed: importing it should raise the limit from 1000 to 100000 and load BLS12-381")
PY
"$work/venv/bin/python" "$work/program.py" eth_account
"$work/venv/bin/python" "$work/program.py" web3
