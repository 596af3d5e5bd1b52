# You need Python 3.11 or newer with venv, and make. Each target sets up everything else itself.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CONFIG ?= gateway.toml
ARGS ?=

.PHONY: help demo demo-cluster run agent test test-unit test-system test-all check fix bench bench-quick soak chaos dist lock docs manifests clean

help:  ## list all commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.demo  ## run gateway, agent and real applications on this machine; Ctrl-C stops them
	@$(BIN)/python -m app.demo

demo-cluster: $(VENV)/.demo  ## run three gateway nodes, NATS and two agents on this machine, to be ended and frozen at will
	@$(BIN)/python -m app.demo --cluster

run: $(VENV)/.demo  ## run the gateway, with CONFIG=gateway.toml and ARGS="..."
	$(BIN)/python -m app --config $(CONFIG) $(ARGS)

agent: $(VENV)/.demo  ## run the agent, with ARGS="--gateway ws://127.0.0.1:8080/agent --token ... --cluster ..."
	$(BIN)/python -m tunnel.agent $(ARGS)

ifeq ($(strip $(ARGS)),)
test: test-unit test-system  ## run all tests except the slow ones (less than 15 minutes)
else
test: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" $(ARGS)
endif

test-unit: $(VENV)/.dev  ## run the tests that need no sockets (less than a minute on two cores)
	$(BIN)/python -m pytest -m "not slow and not system" -n logical --dist worksteal $(ARGS)

test-system: $(VENV)/.dev  ## run the tests with real processes and sockets
	$(BIN)/python -m pytest -m "not slow and system" $(ARGS)

# The second run uses yamux. The system tests then run again with each of the other two dialects, and under uvicorn. The
# last run is of what exchanges carry, with clients at one of three nodes and the agent at another.
test-all: $(VENV)/.dev  ## run every test: fuzzers and long runs too, and the system tests with each dialect and door
	EXAMPLES=all $(BIN)/python -m pytest -m "not system" -n logical --dist worksteal $(ARGS)
	$(BIN)/python -m pytest -m "system" $(ARGS)
	SYSTEM_DIALECT=json $(BIN)/python -m pytest tests/system $(APART) -m "not slow"
	SYSTEM_DIALECT=chunk $(BIN)/python -m pytest tests/system $(APART) -m "not slow"
	SYSTEM_SERVER=uvicorn $(BIN)/python -m pytest tests/system $(APART) -m "not slow"
	SYSTEM_NODES=3 $(BIN)/python -m pytest $(CARRIED:%=tests/system/test_%.py) -m "not slow"

# Their gateways have a dialect and a door of their own, or none: one run of them is all.
APART := $(addprefix --ignore-glob=tests/system/,test_nats_* test_nodes_* test_check_connect.py test_peer_links.py \
         test_demo* test_first_cluster.py nodes/*)
CARRIED := http headers half_close large sse websocket spliced socketio jupyter tls_services

check: $(VENV)/.dev  ## check lint, format and types; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/.dev  ## fix lint and format, as far as ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev  ## run the benchmarks, as ratios to other programs in the same run
	$(BIN)/python -m tests.bench $(ARGS)

bench-quick: $(VENV)/.dev  ## run the rows of the benchmarks that tell most (less than two minutes)
	$(BIN)/python -m tests.bench quick $(ARGS)

dist: $(VENV)/.dev  ## build what a release consists of, wheels and sdists of both distributions, into dist/
	@rm -rf dist
	@cd tunnel && $(abspath $(BIN))/python -m hatchling build --directory ../dist
	@$(BIN)/python -m hatchling build --directory dist

lock: $(VENV)/.dev  ## update the lock files after a change of pyproject.toml or tunnel/pyproject.toml
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --extra cluster -o requirements.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --extra cluster --extra demo -o requirements-demo.txt
	$(BIN)/uv pip compile $(LOCK) pyproject.toml --extra cluster --extra demo --extra dev -o requirements-dev.txt
	$(BIN)/uv pip compile $(LOCK) tunnel/pyproject.toml -c requirements.txt -o requirements-agent.txt
	sed -n 's/^requires = \["\(.*\)"\]/\1/p' tunnel/pyproject.toml \
	    | $(BIN)/uv pip compile $(LOCK) - -c requirements-dev.txt -o requirements-build.txt

LOCK := --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
        --no-header --no-annotate --no-emit-package tunnel-agent

soak: $(VENV)/.dev  ## run ten minutes of traffic with faults of every kind; SECONDS=60 for a shorter run
	SOAK_SECONDS=$(or $(SECONDS),600) $(BIN)/python -m pytest tests/soak $(ARGS)

chaos: $(VENV)/.dev  ## run ten minutes of faults drawn from a seed, and check that nothing is lost; SECONDS=60, SEED=1
	CHAOS_SECONDS=$(or $(SECONDS),600) CHAOS_SEED=$(SEED) $(BIN)/python -m pytest tests/chaos -s $(ARGS)

docs: $(VENV)/.dev  ## write the reference of the command lines, docs/cli.md
	$(BIN)/python .build/reference.py

manifests: $(VENV)/.dev  ## render the plain Kubernetes manifests from the charts
	$(BIN)/python k8s/render.py $(ARGS)

clean:  ## remove the virtual environment, dist/ and caches
	rm -rf $(VENV) dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed (PYTHON=...); this is " + sys.version)'
	@$(PYTHON) -m venv $(VENV) || { echo 'venv is missing; on Debian: apt install python3-venv'; exit 1; }

$(VENV)/.%: requirements-%.txt $(VENV)/pyvenv.cfg
	@echo "installing $< ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
