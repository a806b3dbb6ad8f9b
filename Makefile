# Each target does its own set-up: `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check torture fuzz clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@

demo: setup  ## data -> model -> prior -> samples -> pictures -> figures -> meshes, a few minutes on two cores
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/demo.sh demo

test: setup  ## the whole suite
	$(BIN)/python -m pytest -n 2

check: setup  ## what every commit passes: format, lint, types, quick tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 -m "not slow"

KILLS ?= 30
torture: setup  ## every kind of run of every method, killed at random moments, KILLS times each; about an hour
	$(BIN)/python tests/torture.py --kills $(KILLS)

INPUTS ?= 5000
fuzz: setup  ## changed inputs of every reader: no traceback, no hang, no memory without end; about half an hour
	$(BIN)/python tests/fuzz.py --inputs $(INPUTS)

clean:
	rm -rf demo runs build lib/*.egg-info .pytest_cache .mypy_cache .ruff_cache
