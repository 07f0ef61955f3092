# Two commands do all the set-up they need, in a .venv of their own: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := runs/demo

.PHONY: demo test lint types cov bench tables clean

demo: $(VENV)/.installed
	$(BIN)/ancestral train digits --out $(DEMO) --resume
	$(BIN)/ancestral sample $(DEMO) -n 80 --guidance 2 --out $(DEMO)/demo.png --gif $(DEMO)/demo.gif --film $(DEMO)/film.png
	@echo
	@echo "Open $(DEMO)/demo.png (a grid) and $(DEMO)/demo.gif (how it came about)."
	@echo "Try next:  $(BIN)/ancestral sample $(DEMO) --label 7 --seed 1 --film"

test: $(VENV)/.installed-dev
	$(BIN)/pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev
	$(BIN)/mypy

cov: $(VENV)/.installed-dev
	$(BIN)/pytest --cov=ancestral --cov-report=term-missing

bench: $(VENV)/.installed-dev
	$(BIN)/python bench/unet_step.py

tables: $(VENV)/.installed-dev
	$(BIN)/python bench/orders.py
	$(BIN)/python bench/bound_gap.py

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ancestral needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/pip pyproject.toml
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
