#!/usr/bin/env bash
# Everything that checks the contracts: are the artifacts current, forge's tests and invariants, the gas snapshot, slither, halmos.
# Expects the packages of contracts/package-lock.json (make contracts-setup); makes the analysers' environment itself.
set -euo pipefail
cd "$(dirname "$0")/../contracts"

fail() { echo "derelayl contracts-check: $1" >&2; exit 1; }
step() { echo "== $1 (${SECONDS} s)"; }

forge=$PWD/node_modules/.bin/forge
python=$PWD/../.venv/bin/python
tools=$PWD/.venv
command -v node >/dev/null || fail "needs Node 20 or newer for the Solidity compiler"
[ -x "$forge" ] || fail "needs forge, which npm has for Linux on x86-64 only: run \`make contracts-setup\` there"
[ -x "$python" ] || fail "needs the project's own environment: run \`make setup\`"
export PATH=$PWD/node_modules/.bin:$PATH

if [ ! -e "$tools/.ready" ] || [ requirements.txt -nt "$tools/.ready" ]; then
    step "slither and halmos, installed from requirements.txt"
    "$python" -m venv --clear "$tools"
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt ||
        fail "pip could not install requirements.txt; the lines above say why"
    touch "$tools/.ready"
fi

analyse() {
    step "slither: no finding that is not justified in place"
    FOUNDRY_PROFILE=src "$tools/bin/slither" . --fail-low
    step "halmos: conservation and royalties, for all amounts"
    "$tools/bin/python" tools/symbolic.py --contract HalmosTest
}

# Slither and halmos use one core each while forge is busy with the other.
mkdir -p cache
(set -e; analyse) >cache/analysis.log 2>&1 &
analysis=$!
trap 'kill "$analysis" 2>/dev/null || true' EXIT

step "artifacts are what src/ compiles to"
node tools/compile.mjs --check
step "forge: vectors and invariants"
forge test
step "gas is that of gas-snapshot.json"
"$python" ../benchmarks/gas.py --check
analysed=0
wait "$analysis" || analysed=$?
cat cache/analysis.log
[ "$analysed" = 0 ] || fail "slither or halmos found something; the lines above say what"
step "all is well"
