# Two commands do all the set-up: `make demo` and `make test`.
VENV := .venv
BIN := $(VENV)/bin
RUN := $(VENV)/.ready
DEV := $(VENV)/.ready-to-develop

.PHONY: help setup demo test chaos check types lint contracts-setup artifacts contracts-check gas-snapshot vectors clean
help:  ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(DEV)  ## make .venv and install the pinned dependencies, those of tests and benchmarks too
$(RUN) $(DEV): pyproject.toml constraints.txt scripts/setup.sh
	@bash scripts/setup.sh $(VENV) $(if $(filter $@,$(DEV)),dev)
	@touch $@

demo: $(RUN)  ## a whole relay on this machine: chain, peers, real data, lineage, report
	@$(BIN)/derelayl demo $(ARGS)

# First the pure rules, each branch of which must be taken; then the rest. ARGS picks tests instead: make test ARGS=tests/node
RULES := tests/protocol tests/vectors
COVERED := --cov=derelayl_protocol --cov-branch --cov-fail-under=100 --cov-report=term:skip-covered
# A process a core; the tests of a file stay together, for they share what it sets up. Four are as many as memory bears.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile
test: $(DEV)  ## the tests
ifeq ($(ARGS),)
	@$(BIN)/pytest $(PARALLEL) $(RULES) $(COVERED)
	@$(BIN)/pytest $(PARALLEL) $(addprefix --ignore=,$(RULES))
else
	@$(BIN)/pytest $(ARGS)
endif

chaos: $(DEV)  ## 20 drawn plans of faults and adversaries, played by real processes; ARGS="--seed 7" plays one again
	@$(BIN)/python -m tests.chaos.real $(ARGS)
chaos-virtual: $(DEV)  ## plans of faults and adversaries on a virtual clock, e.g. ARGS="--seeds 0:1000"
	@$(BIN)/python -m tests.chaos $(ARGS)
fuzz: $(DEV)  ## mutated inputs to every decoder of strangers' bytes, e.g. ARGS="--inputs 10000000 --seed 1"
	@$(BIN)/python -m tests.fuzz $(ARGS)

check: lint types  ## lint and types
lint: $(DEV)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
types: $(DEV)
	@$(BIN)/mypy

NPM_STAMP := contracts/node_modules/.ready
contracts-setup: $(NPM_STAMP)  ## install the Solidity compiler and forge (needs Node); only to change contracts
$(NPM_STAMP): contracts/package.json contracts/package-lock.json
	@command -v npm >/dev/null || { echo "derelayl: the contracts' tools come from npm: install Node 20 or newer" >&2; exit 1; }
	@cd contracts && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@
artifacts: contracts-setup  ## recompile the contracts into contracts/artifacts
	@node contracts/tools/compile.mjs
contracts-check: $(DEV) contracts-setup  ## forge tests and invariants, gas snapshot, slither, halmos
	@bash scripts/contracts-check.sh
gas-snapshot: $(DEV) contracts-setup  ## accept today's gas: rewrite contracts/gas-snapshot.json
	@$(BIN)/python benchmarks/gas.py --accept
notebook: $(DEV)  ## execute examples/incentives.py and write examples/incentives.ipynb with its outputs
	@$(BIN)/python scripts/notebook.py
vectors: $(DEV)  ## regenerate tests/vectors
	@for part in generate generate_ledger generate_calls; do $(BIN)/python -m tests.vectors.$$part || exit 1; done

bench-learning: $(DEV)  ## the tables of the learning side, e.g. make bench-learning ARGS="memory --resume"
	@$(BIN)/python -m benchmarks.learning $(ARGS)
bench-simulation: $(DEV)  ## the simulator against the authors' script, Mesa and radCAD
	@$(BIN)/python -m benchmarks.simulation $(ARGS)
bench-node: $(DEV)  ## the node's REST and chain calls, goodput, a soak, e.g. make bench-node ARGS="chain_calls_idle"
	@$(BIN)/python -m benchmarks.node $(ARGS)
bench-gas: contracts-setup
bench-%: $(DEV)  ## one benchmark, e.g. make bench-demo
	@$(BIN)/python benchmarks/$(subst -,_,$*).py $(ARGS)

clean:  ## remove what the targets made
	rm -rf $(VENV) .derelayl $(addprefix contracts/,node_modules .venv out cache) tests/interop/node_modules
