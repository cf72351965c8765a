# Each target works from a bare clone: it makes .venv, installs, and runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-fast test-faults lint clean

demo: $(READY)  ## a federated experiment on the built-in phantom
	$(BIN)/python run_sim.py --task phantom-covid2 --strategy local central fedavg --local-epochs 2

test: $(READY) lint  ## every check
	$(BIN)/pytest -n 2 --dist loadgroup --cov --cov-report=term:skip-covered --cov-fail-under=90

test-fast: $(READY)  ## the tests that start no program of Flower's, in minutes
	$(BIN)/pytest -n 2 --dist loadgroup -m "not slow"

test-faults: $(READY)  ## processes killed, disks full, sites lost: docs/faults.md
	$(BIN)/python tests/faults/run.py --write docs/faults.md

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# PyTorch alone and first, so that its exact version decides which build of it is taken.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .coverage .mypy_cache .pytest_cache .ruff_cache .import_linter_cache runs
