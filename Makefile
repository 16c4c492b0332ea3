# Everything a developer or CI runs. On a fresh machine (Python 3.11, pip, make) `make demo` or `make test` is enough.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := all,torchrl,datasets,ray,slurm,test,docs,dev
WORKERS ?= 2

# Without a choice of the user: EGL where its library is, and no OpenGL elsewhere, so that importing MuJoCo never fails
# on a machine without a display. macOS has its own and needs no choice.
ifndef MUJOCO_GL
ifeq ($(shell uname),Linux)
export MUJOCO_GL := $(if $(shell PATH="$$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep libEGL.so),egl,disabled)
endif
endif

# One thread per worker: the tests run in parallel already.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest
# Workers take what is left of others: ten thousand short tests handed out one by one cost half a minute.
PARALLEL := -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo test long slow deep lint types layers doctest wheel docs bench check football clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 20

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Anew only when the requirements change. Quiet, but pip's errors show and stop make.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing bagged_envs[$(EXTRAS)] into $(VENV); this takes a few minutes the first time."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

install: $(VENV)/.installed  ## make .venv and install the library with everything the tests need

demo: install  ## the main job: a small benchmark and its report, in demo/
	$(ONE_THREAD) $(BIN)/bagged-envs bench run quick --out demo --workers $(WORKERS)
	$(ONE_THREAD) $(BIN)/bagged-envs bench report demo

test: install  ## the quick tests
	$(PYTEST) $(PARALLEL)

long: install  ## the tests that CI runs beside the quick ones: a second and more, kills, lost nodes, full disks
	$(PYTEST) $(PARALLEL) -m "long and not slow"

slow: install  ## the tests that neither runs: minutes each
	$(PYTEST) $(PARALLEL) -m slow

deep: install  ## the laws of the delay, with 10,000 examples each
	HYPOTHESIS_PROFILE=deep $(PYTEST) $(PARALLEL) -m law

lint: install  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install  ## mypy, and that it checked every file
	.ci/types

layers: install  ## import-linter: nothing imports upward
	$(BIN)/lint-imports --no-logo

# Every `>>>` that users see: in docstrings, the README and the docs.
doctest: install  ## run the examples of docstrings and documents
	$(PYTEST) $(PARALLEL) --doctest-modules --doctest-glob='*.md' --ignore-glob='docs/*.py' --ignore=docs/_build \
	    bagged_envs README.md $(wildcard docs)

wheel: install  ## build the wheel and try it in a clean environment
	$(BIN)/python tests/wheel_smoke.py

docs: install  ## build the documentation; warnings are errors
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: install  ## speed of the wrappers, the particle world, the symbolic tasks and MuJoCo's backends against their peers, of loading datasets, cost of redistributors
	$(ONE_THREAD) $(BIN)/python -m benchmarks.wrappers
	$(ONE_THREAD) $(BIN)/python -m benchmarks.particle
	$(ONE_THREAD) $(BIN)/python -m benchmarks.symbolic
	$(ONE_THREAD) $(BIN)/python -m benchmarks.backends
	$(ONE_THREAD) $(BIN)/python -m benchmarks.cadence
	$(ONE_THREAD) $(BIN)/python -m benchmarks.training
	$(ONE_THREAD) $(BIN)/python -m benchmarks.training --methods lare_rd-td3 --over rd
	$(ONE_THREAD) $(BIN)/python -m benchmarks.teams
	$(ONE_THREAD) $(BIN)/python -m benchmarks.datasets

check: install  ## check every registered ID
	$(BIN)/bagged-envs check all

# The engine has to be compiled and needs an environment of its own: neither `test` nor CI does this.
football: .venv-football/.installed  ## build Google Research Football (4 minutes) and try its adapter on it
	$(ONE_THREAD) SDL_VIDEODRIVER=dummy .venv-football/bin/python -m pytest -m slow tests/suites/test_football_engine.py

.venv-football/.installed: tools/build_football.sh
	tools/build_football.sh .venv-football
	@touch $@

clean:  ## remove what the other targets leave behind, .venv excepted
	rm -rf build dist *.egg-info demo docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis \
	    .import_linter_cache MUJOCO_LOG.TXT
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
