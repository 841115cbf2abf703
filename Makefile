# One command for each job. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash

PYTHON ?=
TORCH_INDEX ?=
OUT ?= out
CORES := $(shell nproc 2>/dev/null || echo 2)
# Each worker of the tests is one process with one thread; more than four only repeat the fixtures. One more than there
# are cores gained nothing: each starts servers of its own.
JOBS ?= $(shell [ $(CORES) -lt 4 ] && echo $(CORES) || echo 4)
TESTS ?= tests

BIN := .venv/bin
READY := .venv/.ready
CHART_READY := .venv-chart/.ready
SBOM_READY := .venv-sbom/bin/cyclonedx-py
FAST := $(wildcard tiny_model/fast.safetensors)
REPOSITORY := $(OUT)/repository/artifacts/lafi.json
DRAWING_CODE := $(wildcard lafi/*.py lafi/*/*.py lafi/*/*/*.py kernels/*/*.py export/*/*.py) $(wildcard model_repository/*/1/*.py)
BENCHMARKS = $(wildcard benchmarks/*.py benchmarks/*/*.py)
ADAPTERS = $(wildcard model_repository/*.py model_repository/*/1/*.py)

# Idle threads of OpenMP must not spin: the server, the client and the tests share the cores.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0
export HF_HUB_OFFLINE := 1
export PIP_NO_INPUT := 1

.PHONY: help setup check check-chart chart-golden format types test test-slow demo comic engine evaluate lock clean distclean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## build .venv with everything needed (once)

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@PYTHON="$(PYTHON)" TORCH_INDEX="$(TORCH_INDEX)" bash scripts/setup.sh

check: $(READY) ## ruff and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory types

types: $(READY)
	$(BIN)/mypy
	@$(if $(BENCHMARKS),$(BIN)/mypy $(BENCHMARKS))
	@# The adapters are all modules named `model`, so each is checked on its own.
	@for file in $(ADAPTERS); do $(BIN)/mypy "$$file" || exit 1; done

check-chart: $(CHART_READY) ## Helm chart, images, alerts and dashboard, without a cluster
	.venv-chart/bin/python -m server_config.chart_check

chart-golden: $(CHART_READY) ## keep what the chart renders now, and the dashboard, as what is wanted
	.venv-chart/bin/python -m server_config.chart_check --write

$(CHART_READY): $(READY) server_config/chart_check/requirements.txt scripts/setup_chart.sh
	@bash scripts/setup_chart.sh

$(SBOM_READY):
	@bash server_config/image/make_sbom.sh --install

format: $(READY) ## format and sort imports
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .

test: $(READY) ## run the tests (JOBS=workers, TESTS=path)
	@OUT=$(OUT) scripts/run_tests.sh $(BIN)/python $(JOBS) $(TESTS)

test-slow: $(READY) $(SBOM_READY) ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 1800 $(TESTS)

demo: $(REPOSITORY) ## draw an example storyboard through a real server, into out/demo
	$(BIN)/python benchmarks/demo.py --repository $(OUT)/repository --out $(OUT)/demo

comic: $(REPOSITORY) ## draw two short stories as comics through a real server, into out/comic
	$(BIN)/python benchmarks/comic.py --repository $(OUT)/repository --out $(OUT)/comic

$(REPOSITORY): $(READY) tiny_model/weights/model_index.json $(FAST) $(DRAWING_CODE)
	$(BIN)/lafi export tiny_model/weights --out $(OUT)/repository $(FAST:%=--variant fast=%)

engine: $(REPOSITORY) ## build the bundled denoiser for a GPU that is not here (TensorRT-RTX, SM89)
	$(BIN)/python benchmarks/tensorrt_rtx.py --repository $(OUT)/repository --models bundled --only denoiser.onnx --out $(OUT)/engine.json

evaluate: $(REPOSITORY) ## identity against leakage, all methods (about an hour, goes on where it stopped)
	$(BIN)/python -m benchmarks.evaluate --repository $(OUT)/repository --out $(OUT)/evaluate

lock: $(READY) ## write the versions of this environment to constraints.txt
	$(BIN)/python scripts/lock.py > constraints.txt

clean: ## remove outputs and caches
	rm -rf $(OUT) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

distclean: clean ## also remove .venv
	rm -rf .venv .venv-chart *.egg-info
