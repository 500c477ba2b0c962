# Patchbay: `make run` starts everything, `make test` tests everything; both install what they need.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATCHBAY_DATA_DIR ?= $(CURDIR)/data

.DEFAULT_GOAL := help
.PHONY: help install install-dev assets test-assets run test test-deploy check bench screenshots clean

help:
	@echo "make run      start everything on http://127.0.0.1:8080 (PATCHBAY_PORT), data in ./data (PATCHBAY_DATA_DIR)"
	@echo "make install  only create the environment in .venv"
	@echo "make test     run every test"
	@echo "make test-deploy  build the image, run it by docker-compose, kill containers, find every verdict (root)"
	@echo "make check    lint, types, import contracts, migrations, OpenAPI document, deployment files"
	@echo "make bench    measure, as JSON lines"
	@echo "make screenshots  draw the pages of a running Patchbay into docs/images"

install: $(VENV)/.installed assets

$(VENV)/bin/python:
	@setup/create-environment $(PYTHON) $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing Patchbay and its pinned dependencies into $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded]'
	@setup/install-libraries $(BIN)/python
	@touch $@

install-dev: install $(VENV)/.installed-dev

$(VENV)/.installed-dev: $(VENV)/.installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

assets: $(VENV)/.installed
	@$(BIN)/python services/web/build_assets.py

test-assets: $(VENV)/.installed-dev
	@$(BIN)/python services/web/build_assets.py --tests

run: install
	@exec $(BIN)/patchbay up

test: install-dev test-assets
	@setup/install-test-tools
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_ARGS)

test-deploy: install-dev
	@$(BIN)/python tests/deployment/trial.py

check: install-dev
	@setup/install-test-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -p no:randomly tests/check $(PYTEST_ARGS)

bench: install-dev
	@$(BIN)/python bench/run.py $(BENCH_ARGS)

screenshots: install-dev
	@$(BIN)/python docs/screenshots.py $(SCREENSHOTS_ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
