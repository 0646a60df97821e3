# make demo | make test | make lint: each sets up what it needs in .venv, from nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RANKS ?= 2

.PHONY: demo test lint clean

$(BIN)/.run: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e .
	touch $@

$(BIN)/.test: $(BIN)/.run
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

demo: $(BIN)/.run
	$(BIN)/mpiexec -n $(RANKS) $(BIN)/python -m scip_mpi demo

test: $(BIN)/.test
	$(BIN)/python -m pytest --durations=15 $(PYTEST_ARGS)

lint: $(BIN)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
