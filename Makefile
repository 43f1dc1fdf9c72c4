# Each target does all of its own set-up. `make demo` and `make test` are the only two commands a newcomer needs.

# The first of these that really runs: a shim on the PATH may be dead.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c '' 2>/dev/null && { echo $$p; break; }; done)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: demo test quick check hw-test bench results clean

demo: $(READY)
	$(BIN)/neuroprivacy demo --out runs/demo

test: $(READY)
	$(BIN)/python -m pytest

# The tests without those marked `slow`: about a minute.
quick: $(READY)
	$(BIN)/python -m pytest -q -m "not slow"

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

hw-test: $(READY)
	$(BIN)/python -m pytest hw_tests --target fixedpoint
	$(BIN)/python -m pytest hw_tests --target lava
	$(BIN)/python -m pytest hw_tests --target c-host --allow-missing
	for core in m0 m3 m4 m7 m33 m55; do $(BIN)/python -m pytest hw_tests --target cortex-$$core --allow-missing || exit 1; done
	$(BIN)/python -m pytest hw_tests --target loihi2-hw --allow-missing

# Writes docs/results/performance.md: speed against other simulators, each in an environment of its own, which is made
# on the first call (about one gigabyte each). Needs a quiet machine. Resumes; `BENCH=--quick` tries it, not into docs/.
bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

# Writes docs/results/results.md; needs the data sets under NEUROPRIVACY_DATA. Takes about an hour on two cores, resumes.
results: $(READY)
	$(BIN)/python -m neuroprivacy.experiments.results --runs runs/results --out docs/results/results.md

# The environment, with everything that demo and test need; afterwards both run without a network.
$(READY): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; set PYTHON=...')"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	$(BIN)/neuroprivacy backend setup fixedpoint
	$(BIN)/neuroprivacy backend setup lava || echo "go on without Lava: neuroprivacy demo --no-lava"
	touch $(READY)

clean:
	rm -rf $(VENV) build dist runs results .pytest_cache .mypy_cache .ruff_cache
