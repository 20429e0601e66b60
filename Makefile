# Everything here needs Python 3.11 or later and nothing else; what it installs goes to .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install run test check unit integration simulation conformance cluster-test e2e chaos chaos-report bench bench-full manifests format clean

help: ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(INSTALLED) ## make .venv with Hubbub and all its tools

run: $(INSTALLED) ## run a whole Hubbub on http://127.0.0.1:3000 (ARGS="--port 4000")
	@$(BIN)/python -m hubbub.cli.main up $(ARGS)

test: $(INSTALLED) ## every test that needs no cluster (ARGS="-k word")
	$(BIN)/python -m pytest tests $(ARGS)

check: $(INSTALLED) ## formatting, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(INSTALLED) ## tests that talk to nothing
	$(BIN)/python -m pytest tests/unit $(ARGS)

integration: $(INSTALLED) ## tests on real MongoDB and NATS
	$(BIN)/python -m pytest tests/integration $(ARGS)

simulation: $(INSTALLED) ## the pipeline under seeded faults on a simulated clock (ARGS="--from 1000 --seeds 500")
	$(BIN)/python -m tests.simulation $(ARGS)

e2e: $(INSTALLED) ## tests that start a whole Hubbub
	$(BIN)/python -m pytest tests/e2e $(ARGS)

chaos: $(INSTALLED) ## break everything that can break, under load (ARGS="--fault F4 --seeds 1"); an hour
	$(BIN)/python -m tests.chaos $(ARGS)

chaos-report: $(INSTALLED) ## write what the last `make chaos` measured into docs/reliability.md
	$(BIN)/python -m tests.chaos.report $(ARGS)

conformance: $(INSTALLED) ## tests with clients that nobody here wrote
	$(BIN)/python -m pytest tests/conformance $(ARGS)

cluster-test: $(INSTALLED) ## tests on the Kubernetes of KUBECONFIG, in a namespace of their own (see tests/cluster)
	HUBBUB_CLUSTER_TESTS=1 $(BIN)/python -m pytest tests/cluster -v $(ARGS)

bench: $(INSTALLED) ## measure everything in short, beside the targets (ARGS="--only bus")
	$(BIN)/python -m benchmarks.run $(ARGS)

bench-full: $(INSTALLED) ## measure everything at length; an hour or less
	$(BIN)/python -m benchmarks.run --full $(ARGS)

manifests: $(INSTALLED) ## render the chart into deploy/k8s (needs helm)
	$(BIN)/python deploy/k8s/render.py

format: $(INSTALLED) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove .venv and the tools' caches; data in .hubbub stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamp is younger than pyproject.toml as long as what it asks for is installed. A pip of
# long ago may not know what a package asks of it, so pip itself comes first.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Hubbub needs Python 3.11 or later; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
