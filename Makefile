# Each target does its own set-up: `make demo` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup demo test check docs torture fuzz clean

setup: $(VENV)/.installed  ## PYTHON=python3.12 chooses the Python; the torch of the CPU alone: README, "Two commands"
ifeq ($(origin PYTHON),command line)
	@version='import sys; print("%d.%d" % sys.version_info[:2])'; here=$$($(BIN)/python -c "$$version"); asked=$$($(PYTHON) -c "$$version"); \
	if [ "$$here" != "$$asked" ]; then \
	    echo "$(VENV) has Python $$here, and PYTHON=$(PYTHON) is $$asked; remove it first: rm -r $(VENV)" >&2; exit 2; \
	fi
endif

$(VENV)/.installed: pyproject.toml
	@echo "Setting up $(VENV): 2 to 3 minutes, 6.9 GB with the torch of CUDA. While pip installs what it has loaded, it says nothing for a minute."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --editable '.[dev]'
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

docs: setup  ## what the docs say of commands and formats, written anew from the code
	$(BIN)/python docs/generate.py

KILLS ?= 30
torture: setup  ## every kind of run of every method, killed at random moments, KILLS times each; about an hour
	$(BIN)/python tests/torture.py --kills $(KILLS)

INPUTS ?= 5000
fuzz: setup  ## changed inputs of every reader: no traceback, no hang, no memory without end; about half an hour
	$(BIN)/python tests/fuzz.py --inputs $(INPUTS)

clean:
	rm -rf demo runs build lib/*.egg-info .pytest_cache .mypy_cache .ruff_cache
