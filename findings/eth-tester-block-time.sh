#!/usr/bin/env bash
# Expected: the time of a block on a development chain is about that of the clock when the block is made.
# Happens:  it is neither. Each transaction makes a block at least a second younger than its parent, so 60 in a burst
#           put the chain a minute ahead of the clock. And a block's time is fixed when the block before it is made,
#           so after a pause the next transaction runs in the past. Deadlines in contracts are missed or kept wrongly.
# Versions: eth-tester 0.14.0b1, py-evm 0.12.1b1; seen 2026-11-30.
# Matters to whoever tests commit-reveal phases, leases, auctions or vesting with EthereumTester and real time:
# travel to the time that is meant before each step, or take a chain that asks the clock.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
    "eth-tester==0.14.0b1" "py-evm==0.12.1b1" "eth-hash[pycryptodome]==0.8.0" "coincurve==21.0.0"

"$work/venv/bin/python" - <<'PY'
import importlib.metadata
import sys
import time

from eth_tester import EthereumTester, PyEVMBackend

TRANSACTIONS, PAUSE = 60, 6
GAS = {"gas": 21_000, "max_fee_per_gas": 10**10, "max_priority_fee_per_gas": 10**9}


def pay(chain: EthereumTester) -> None:
    payer, payee = chain.get_accounts()[:2]
    chain.send_transaction({"from": payer, "to": payee, "value": 1, **GAS})


def ahead(chain: EthereumTester) -> float:
    """Seconds by which the newest block is ahead of the clock."""
    return chain.get_block_by_number("latest")["timestamp"] - time.time()


print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("eth-tester", "py-evm")))
busy = EthereumTester(PyEVMBackend())
start = time.time()
for _ in range(TRANSACTIONS):
    pay(busy)
took, burst = time.time() - start, ahead(busy)
print(f"{TRANSACTIONS} transactions in {took:.1f} s: the newest block is {burst:.0f} s ahead of the clock")
idle = EthereumTester(PyEVMBackend())
idle.mine_block()
time.sleep(PAUSE)
pay(idle)
late = -ahead(idle)
print(f"a transaction after a pause of {PAUSE} s: its block is {late:.0f} s behind the clock")
if burst + took < TRANSACTIONS - 5 or late < PAUSE / 2:
    sys.exit("changed: a burst should put the chain ahead of the clock, a pause the next block behind it")
PY
