# make demo | make test | make lint | make features | make reference | make docs | make bench |
# make fuzz | make chaos: each sets up what it needs in .venv, from nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RANKS ?= 2
N ?= 1000

.PHONY: demo test lint features reference docs bench fuzz chaos clean

$(BIN)/.run: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[report]'
	touch $@

$(BIN)/.test: $(BIN)/.run
	$(BIN)/python -m pip install --quiet -e '.[test]'
	touch $@

$(BIN)/.bench: $(BIN)/.test
	$(BIN)/python -m pip install --quiet -e '.[bench]'
	touch $@

$(BIN)/.docs: $(BIN)/.run
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	touch $@

demo: $(BIN)/.run
	$(BIN)/mpiexec -n $(RANKS) $(BIN)/python -m scip_mpi demo

test: $(BIN)/.test
	$(BIN)/python -m pytest --durations=15 $(PYTEST_ARGS)

lint: $(BIN)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# features.md, and in it what the families cost by the newest results of bench/kernels.py.
features: $(BIN)/.run
	$(BIN)/python bench/feature_costs.py
	$(BIN)/python -m scip_mpi features --markdown > features.md

# docs/config.md, from the schema of the config.
reference: $(BIN)/.run
	$(BIN)/python docs/config_reference.py > docs/config.md

# The site, in site/: a link or an included file that is missing ends it.
docs: $(BIN)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# The short ones, a quarter of an hour; bench/README.md says how to run all.
bench: $(BIN)/.bench
	$(BIN)/python bench/kernels.py
	$(BIN)/python bench/startup.py
	$(BIN)/python bench/write.py --repeats 3
	$(BIN)/python bench/throughput.py --config li --counts 500,3000
	$(BIN)/python bench/strong_scaling.py --pairs --repeats 3
	$(BIN)/python bench/memory.py --counts 1000,5000 --entries 1000000
	$(BIN)/python bench/checkpoint.py -n 2000 --repeats 3
	$(BIN)/python bench/timeline.py
	$(BIN)/python bench/report.py --cells 50000

# Damaged files, N for each reader; adds to bench/results/fuzz.csv.
fuzz: $(BIN)/.test
	$(BIN)/python tests/fuzz/campaign.py --cases $(N)

# Kills runs N times, and adds what became of them to bench/results/chaos.csv.
chaos: $(BIN)/.test
	PYTHON=$(BIN)/python bash .ci/ulfm
	$(BIN)/python tests/chaos -n $(N)

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis site
