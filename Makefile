# Each target does its own set-up: `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check torture clean

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

torture: setup  ## runs killed at hundreds of random moments, also in the middle of a write; about an hour
	G3D_KILLS=1000 $(BIN)/python -m pytest tests/lib/training/test_kill.py

clean:
	rm -rf demo runs build lib/*.egg-info .pytest_cache .mypy_cache .ruff_cache
