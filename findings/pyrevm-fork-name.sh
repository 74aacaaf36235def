#!/usr/bin/env bash
# Expected: EVM(spec_id=...) takes a fork in a usual spelling or refuses a name that it does not know.
# Happens:  only one spelling counts ("Istanbul", "Berlin"); every other string, "ISTANBUL", "istanbul" and plain
#           nonsense alike, silently means the newest fork that it has. Code with PUSH0, which exists since Shanghai,
#           is refused under "Istanbul" and runs under "ISTANBUL".
# Versions: pyrevm 0.3.7; seen 2026-11-30.
# Matters to whoever tests contracts for a chain that is behind, or compares EVMs fork by fork: the test passes, on
# another fork than it says.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "pyrevm==0.3.7"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import sys

from pyrevm import EVM, AccountInfo

CALLER, CONTRACT = "0x" + "11" * 20, "0x" + "22" * 20
RETURN_NOTHING = bytes.fromhex("5f5ff3")  # PUSH0 PUSH0 RETURN


def outcome(fork: str) -> str:
    evm = EVM(spec_id=fork)
    evm.insert_account_info(CONTRACT, AccountInfo(code=RETURN_NOTHING))
    try:
        evm.message_call(caller=CALLER, to=CONTRACT)
    except RuntimeError:
        return "refuses PUSH0"
    return "runs PUSH0"


print(f"pyrevm {importlib.metadata.version('pyrevm')}")
forks = ("Istanbul", "ISTANBUL", "istanbul", "Berlin", "BERLIN", "Shanghai", "no such fork")
found = {fork: outcome(fork) for fork in forks}
for fork, what in found.items():
    print(f"{fork!r} {what}")
if {fork for fork, what in found.items() if what == "refuses PUSH0"} != {"Istanbul", "Berlin"}:
    sys.exit("changed: only 'Istanbul' and 'Berlin', spelled so, should refuse PUSH0")
PY
