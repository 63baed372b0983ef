# run: the default study · test: the tests · check: ruff, mypy, import contracts · docs: the documentation site
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: run test check docs

run: .venv/installed
	$(BIN)/mlproject sweep --plan sweeps/embedded.toml

test: .venv/installed
	$(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/installed
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@
