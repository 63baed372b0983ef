# run: the default study · test: the tests · check: ruff, mypy, import contracts · docs: the documentation site
# dist: the wheel, tried outside the repository, and its bill of materials
# lock: pin new dependencies in requirements.lock · audit: ask for known vulnerabilities of what is locked
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: run test check docs dist lock audit

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

dist: .venv/release
	rm -rf dist build
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
	  --output-file dist/mlproject.cdx.json
	$(BIN)/python -m pip install --quiet --no-deps --target build/installed dist/mlproject-*.whl
	mkdir build/elsewhere
	cd build/elsewhere && PYTHONPATH=../installed ../../$(BIN)/python -m mlproject sweep --dry-run
	cd build/elsewhere && PYTHONPATH=../installed ../../$(BIN)/python -m mlproject cell --model resnet18 \
	  --weights random:0 --dataset-size 20 --eval-size 20

lock: .venv/release
	$(BIN)/uv pip compile pyproject.toml --extra engines --universal --python-version 3.11 --generate-hashes \
	  --no-header --quiet --output-file requirements.lock
	$(BIN)/python scripts/dependencies.py --write

audit: .venv/release
	$(BIN)/pip-audit --requirement requirements.lock --require-hashes --disable-pip --strict

.venv/installed: pyproject.toml
	@echo "installing packages into .venv: about 7 GB, some minutes without a word"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]'
	-$(BIN)/python -m compileall -q -j 0 -x '/tests/' .venv/lib >/dev/null  # on all cores; pip would use one
	touch $@

.venv/release: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[release]'
	touch $@
