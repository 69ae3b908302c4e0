# Every target installs what it needs by itself; a second call does no install work.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install run test test-fast dev bench chaos fuzz lint

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SYSTEM_READY := $(VENV)/.system-ready
TEST_READY := $(VENV)/.test-ready
READY := $(VENV)/.ready
QUALITY ?= medium
SAMPLE := e2e3d_assets_tests/data/banana/images

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

$(SYSTEM_READY): .ci/system-packages
	@bash .ci/system-packages
	@mkdir -p $(VENV) && touch $@

$(TEST_READY): $(READY) .ci/system-packages
	@bash .ci/system-packages test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,gpu]"
	@touch $@

$(READY): $(SYSTEM_READY) pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Python packages into $(VENV) (about a minute) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@echo "Compiling the kernels (once) …"
	@$(BIN)/e2e3d warm-up
	@touch $@

install: $(READY) ## Install system packages, the virtual environment and pinned wheels

run: $(READY) ## Make a textured 3D model of the sample photos in output/banana
	@$(BIN)/e2e3d run $(SAMPLE) --name banana --quality $(QUALITY) --output output/banana

dev: $(READY) ## Dagster UI and daemon on http://127.0.0.1:3000 with the sample set already a partition
	@$(BIN)/e2e3d dev --sample $(SAMPLE) --name banana

test: $(TEST_READY) ## Run all tests
	@$(BIN)/python -m pytest

test-fast: $(TEST_READY) ## Run the tests that need neither servers nor minutes
	@$(BIN)/python -m pytest -m "not slow and not integration"

chaos: $(TEST_READY) ## Kill and cut everything for 20 minutes; nothing may be lost
	@CHAOS_SECONDS=1200 $(BIN)/python -m pytest -s e2e3d_assets_tests/integration/test_chaos.py

fuzz: $(TEST_READY) ## 10,000 damaged files through the intake: no crash, no hang, no memory without bounds
	@$(BIN)/python -m e2e3d_assets_tests.benchmarks.fuzz_intake $(ARGS)

bench: bench-pipeline bench-sparse bench-dense bench-surface bench-store bench-latency ## Measure speed and quality, one after the other

bench-%: $(TEST_READY)
	@$(BIN)/python -m e2e3d_assets_tests.benchmarks.bench_$* $(ARGS)

lint: $(TEST_READY) ## Format, lint, types, and who may import whom
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
