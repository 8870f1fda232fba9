# Needs nothing but a Python (3.12, 3.13 or 3.14) and, for the first installation, a package index.
# `make demo PYTHON=/path/to/python3.12` uses that Python.

python := .venv/bin/python
pins := pyproject.toml constraints.txt scripts/install.py
export PYTHON

.PHONY: help demo test calibrate bench docs clean

help:
	@echo "make demo       analyze the built-in synthetic cohort and write report.html"
	@echo "make test       run the tests"
	@echo "make calibrate  run the slow tests and the repeated trials: recovery, calibration"
	@echo "make bench      measure speed and memory; print a table, write JSON"
	@echo "make docs       build the documentation into docs/_build"
	@echo "make clean      remove .venv and everything that was built"

demo: .venv/installed
	@echo "Analyzing the built-in synthetic cohort."
	@.venv/bin/carkinetics demo

test: .venv/installed-dev
	@echo "Running the tests."
	@$(python) -m pytest

calibrate: .venv/installed-dev
	@echo "Running the slow tests; this takes hours on two cores."
	@$(python) -m pytest -m slow
	@echo "Repeating trials of the joint model; goes on from where it was stopped."
	@$(python) -m tests.validation joint-model --minutes 10000

bench: .venv/installed-bench
	@$(python) -m tests.benchmarks

docs: .venv/installed-dev
	@$(python) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "Open docs/_build/html/index.html"

# Each step leaves a stamp, so that a second run starts at once and an interrupted one starts over.
.venv/made:
	@echo "Looking for a Python that carkinetics can use."
	@found=$$(sh scripts/find_python.sh) && echo "    $$found" \
		&& echo "Making .venv." && rm -rf .venv && "$$found" -m venv .venv && touch $@

.venv/installed: .venv/made $(pins)
	@echo "Installing carkinetics and its pinned packages (some minutes the first time)."
	@$(python) scripts/install.py
	@touch $@

.venv/installed-dev: .venv/made $(pins)
	@echo "Installing carkinetics, its pinned packages and the test tools (some minutes the first time)."
	@$(python) scripts/install.py dev
	@touch $@ .venv/installed

.venv/installed-bench: .venv/installed-dev
	@echo "Installing the peers of the benchmarks."
	@$(python) scripts/install.py dev,bench
	@touch $@

clean:
	rm -rf .venv build dist docs/_build docs/api/generated carkinetics-demo
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
