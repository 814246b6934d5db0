# make demo   imports a real Keras file, serves it, asks it over gRPC
# make test   lint, types, contracts, the fast tests;   make test-slow   the rest
# Both make their own virtual environment and need Python >= 3.11, git and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHARED := ../shared
TESTS := $(BIN)/python -m pytest -n auto

# Where the tests find real model files and data; unset, the tests that need them are skipped and say so.
ifneq ($(wildcard $(SHARED)/corpus),)
export CORTEX_CORPUS ?= $(abspath $(SHARED)/corpus)
endif
ifneq ($(wildcard $(SHARED)/data),)
export CORTEX_DATA ?= $(abspath $(SHARED)/data)
endif


.PHONY: demo test test-slow lint format bench zoo docs constraints pb digits clean help
help:
	@sed -n '1,3s/^# //p' Makefile

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Cortex needs Python >= 3.11; name one: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[cpu]'
	@touch $@

$(VENV)/dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/base

demo: $(VENV)/base
	@PATH="$(abspath $(BIN)):$$PATH" examples/demo

lint: $(VENV)/dev
	@mkdir -p .dev/cortex && ln -sfn ../../importer ../../runtime ../../serving .dev/cortex/ # for pyright
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

test: lint
	$(TESTS) -m "not slow and not gpu"

test-slow: $(VENV)/dev
	$(TESTS) -m "slow and not gpu"

bench: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --requirement benchmarks/requirements.txt
	$(BIN)/python benchmarks/runtime.py
	$(BIN)/python benchmarks/train.py
	$(BIN)/python benchmarks/import.py
	$(BIN)/python benchmarks/serve.py

docs: $(VENV)/dev
	$(BIN)/python -m cortex.importer.keras.catalogue > docs/keras.md

# The architectures that Keras brings: written by it, imported, proved; docs/zoo.md keeps the table.
# It takes hours; ZOO=--few, or names of architectures, less.
zoo: $(VENV)/dev
	$(BIN)/python benchmarks/zoo.py --write docs/zoo.md $(ZOO)
	! $(BIN)/python -c 'import tf_keras' 2>/dev/null || \
	    $(BIN)/python benchmarks/zoo.py --write docs/zoo.md --package tf_keras $(ZOO)

# The versions that the Dockerfile installs, as pip finds them today.
constraints: $(VENV)/dev
	$(BIN)/python deploy/constraints.py > deploy/constraints.new
	mv deploy/constraints.new deploy/constraints.txt

pb: $(VENV)/dev
	$(BIN)/python protos/generate.py

digits: $(VENV)/dev
	$(BIN)/python examples/make_digits.py

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
