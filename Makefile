# Every task of this project; `make` alone lists them. They need python3 (3.11 or newer) and make, and write to this
# checkout only: .venv (the environment) and .cache (downloads, results of tools). Installing, `run` and `bench` announce
# themselves on standard error, so that `make bench ARGS=--json > bench.json` is JSON.

PYTHON ?= python3
ARGS ?=

BIN := .venv/bin
CACHE := $(CURDIR)/.cache
UV := $(BIN)/uv
# Another Python or a moved checkout needs a new .venv, so the stamps' folder depends on both.
KEY := $(shell printf '%s\n' "$(CURDIR)" "$$($(PYTHON) --version 2>&1)" | cksum | cut -d ' ' -f 1)
STAMPS := .venv/stamps/$(KEY)

export PIP_CACHE_DIR := $(CACHE)/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export UV_CACHE_DIR := $(CACHE)/uv
export UV_PYTHON_DOWNLOADS := never
# As pip does: a proxy's certificate is trusted where the system trusts it.
export UV_SYSTEM_CERTS := 1
# Each command and each worker is a process of its own, and without bytecode each would compile what it imports.
export UV_COMPILE_BYTECODE := 1
# Else stevedore, by which keystoneauth and oslo find their plugins, would write into the home directory.
export XDG_CACHE_HOME := $(CACHE)
export VIRTUAL_ENV := $(CURDIR)/.venv
export HYPOTHESIS_STORAGE_DIRECTORY := $(CACHE)/hypothesis

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
.PHONY: help install run cloud unit test test-cloud coverage compat bench bench-storm check format lock clean

help: ## list the tasks
	@sed -n 's/^\([a-z-]*\): [^#]*## \(.*\)/\1|\2/p' Makefile | \
		while IFS='|' read -r task text; do printf '  make %-11s %s\n' "$$task" "$$text"; done
	@echo "  ARGS='...' is for the demo (run), pytest (unit, test, coverage), the benchmarks, or uv (lock ARGS=--upgrade)."

install: $(STAMPS)/install ## set up .venv with the vendorsrv command and the examples
	@echo "Ready: $(BIN)/vendorsrv --help"

run: $(STAMPS)/install ## set up and run the demo: a real Keystone, the server and two boots (Ctrl-C stops it)
	@echo "Running vendorsrv demo$(if $(ARGS), $(ARGS))" >&2
	@trap : INT; $(BIN)/vendorsrv demo $(ARGS) || [ $$? -eq 130 ]  # Ctrl-C also interrupts this shell

cloud: $(STAMPS)/cloud ## set up and run a whole OpenStack with the mail-server example (Ctrl-C stops it; ARGS=--help)
	@trap : INT; $(BIN)/python -m tests.support.cloud $(ARGS) || [ $$? -eq 130 ]

unit: $(STAMPS)/unit ## set up and run the unit tests, which need no service and a minute (ARGS=tests/cache)
	@echo "Unit tests$(if $(ARGS),: $(ARGS))"
	@sh scripts/unit.sh $(BIN)/python $(ARGS)

test: $(STAMPS)/dev ## set up and run all tests, or some of them (ARGS=tests/cache)
	@echo "Testing$(if $(ARGS), $(ARGS))"
	@$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),sh scripts/test.sh $(BIN)/python)

test-cloud: $(STAMPS)/cloud ## set up and run the tests with a whole OpenStack, or some of them (ARGS=tests/cloud/test_spec.py)
	@echo "Testing with a whole OpenStack$(if $(ARGS),: $(ARGS))"
	@$(BIN)/python -m pytest --cloud $(or $(ARGS),tests/cloud)

coverage: $(STAMPS)/dev ## run all tests and require full coverage, or measure that of some (ARGS=tests/cache)
	@mkdir -p $(CACHE)/coverage
	@$(BIN)/coverage erase
	@$(if $(ARGS),$(BIN)/coverage run -m pytest $(ARGS),sh scripts/test.sh $(BIN)/coverage run)
	@$(if $(ARGS),,$(BIN)/coverage run --concurrency=greenlet,thread -m pytest -q tests/database)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report $(if $(ARGS),--fail-under=0)

compat: $(STAMPS)/uv ## run the unit tests with the lowest and with OpenStack's versions of all dependencies (ARGS=floors)
	@sh scripts/compat.sh $(ARGS)

bench: $(STAMPS)/dev ## set up and measure contenders side by side, for 35 minutes (ARGS='--quick --json NAME')
	@echo "Measuring$(if $(ARGS), $(ARGS),: all of it takes 35 minutes)" >&2
	@$(BIN)/python -m bench $(ARGS)

bench-storm: $(STAMPS)/dev ## set up and let a thousand instances boot at once (ARGS='--window 0 --json')
	@echo "Measuring a storm$(if $(ARGS), $(ARGS)); it takes some minutes" >&2
	@$(BIN)/python -m bench.storm $(ARGS)

check: $(STAMPS)/dev ## check style, format, types, import layers, file sizes, the lock and the version
	@echo "Style (ruff)"
	@$(BIN)/ruff check --quiet --output-format concise
	@echo "Format (ruff)"
	@$(BIN)/ruff format --check --quiet
	@echo "Types (mypy --strict)"
	@$(BIN)/mypy
	@echo "Import layers and sizes (tests/test_layers.py)"
	@$(BIN)/python -m pytest --quiet tests/test_layers.py
	@echo "Lock and version"
	@sh scripts/lock.sh --check
	@sh scripts/check-version.sh

format: $(STAMPS)/dev ## format the code and sort its imports
	@echo "Formatting (ruff)"
	@$(BIN)/ruff check --quiet --fix-only
	@$(BIN)/ruff format --quiet

lock: $(STAMPS)/uv ## remake requirements/*.txt from pyproject.toml (ARGS=--upgrade for newer versions)
	@echo "Locking: requirements/*.txt from pyproject.toml"
	@sh scripts/lock.sh $(ARGS)

clean: ## remove everything that these tasks made
	@echo "Removing .venv, .cache and what Python and the tools left"
	@for folder in .cache/cloud/*/; do \
		[ ! -d "$$folder" ] || $(BIN)/python -m tests.support.cloud --remove --folder "$$folder"; \
	done
	@rm -rf .venv .cache dist .hypothesis .schemathesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/uv: requirements/uv.txt
	@echo "Setting up .venv (the first time takes a minute or two)" >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=...")'
	@sh scripts/debian-packages.sh install "$(PYTHON)"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --only-binary :all: --require-hashes --requirement requirements/uv.txt
	@mkdir -p $(STAMPS)
	@touch $@

# vendorsrv and its examples, in the environment that a task needs.
EXAMPLES := $(wildcard examples/*/pyproject.toml)
SOURCES := pyproject.toml vendorsrv/__init__.py $(EXAMPLES)
EDITABLE = $(UV) pip install --quiet --no-deps --no-build-isolation --reinstall --editable . \
	$(foreach example,$(EXAMPLES),--editable $(dir $(example)))

$(STAMPS)/unit: $(STAMPS)/uv requirements/unit.txt $(SOURCES)
	@echo "Installing vendorsrv, its examples and what their unit tests need, as locked in requirements/unit.txt" >&2
	@$(UV) pip install --quiet --no-build --require-hashes --requirement requirements/unit.txt
	@$(EDITABLE)
	@touch $@

$(STAMPS)/install: $(STAMPS)/uv requirements/demo.txt $(SOURCES)
	@echo "Installing vendorsrv, its examples and what they need, as locked in requirements/demo.txt" >&2
	@$(UV) pip install --quiet --no-build --require-hashes --requirement requirements/demo.txt
	@$(EDITABLE)
	@touch $@

$(STAMPS)/dev: $(STAMPS)/install requirements/dev.txt scripts/debian-packages.sh
	@echo "Installing the tests' peers and the checkers, as locked in requirements/dev.txt" >&2
	@sh scripts/debian-packages.sh test "$(PYTHON)"
	@$(UV) pip install --quiet --no-build-isolation --require-hashes --requirement requirements/dev.txt
	@touch $@

$(STAMPS)/cloud: $(STAMPS)/dev requirements/cloud.txt
	@echo "Installing the rest of OpenStack, as locked in requirements/cloud.txt" >&2
	@sh scripts/debian-packages.sh cloud "$(PYTHON)"
	@$(UV) pip install --quiet --no-build-isolation --require-hashes --requirement requirements/cloud.txt
	@touch $@
