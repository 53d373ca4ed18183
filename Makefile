# Everything a fresh machine needs is Python 3.11 and git; each goal sets up what it uses and is quick the second time.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Real chest X-rays for the tests marked `mirrors`, where a checkout has them beside it.
MIRRORS := $(wildcard $(abspath ../shared/mirrors))
ifneq ($(MIRRORS),)
export CXR_TEST_MIRRORS ?= $(MIRRORS)
endif

.PHONY: help demo test check lint types contracts format bench lock clean

help: ## list the goals
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info[:2] in ((3, 11), (3, 12)) else "Python 3.11 or 3.12 is needed; found %d.%d: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(READY) ## the whole walk on phantoms: four sources to a promoted, traceable model
	@$(BIN)/cxr demo

test: $(READY) ## every test
	@$(BIN)/python -m pytest -n 2 --dist loadgroup

check: lint types contracts test ## what CI runs: lint, types, import contracts, tests

lint: $(READY) ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## pyright, strict
	@$(BIN)/pyright --pythonpath $(BIN)/python

contracts: $(READY) ## import-linter: who may import whom
	@$(BIN)/lint-imports

format: $(READY) ## ruff: mend what can be mended
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## benchmarks, one JSON object each
	@export CXR_SOURCES="$${CXR_SOURCES:-$(MIRRORS)}"; for file in benchmarks/*.py; do echo "$$file"; $(BIN)/python $$file --json || exit 1; done

lock: $(READY) ## write constraints.txt anew from this environment, optional parts included
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,bench,dask,ray]'
	@$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' | sort -f > constraints.txt

clean: ## remove the environment and everything runs have left (.cxr)
	rm -rf $(VENV) .cxr
