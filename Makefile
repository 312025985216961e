PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash

.PHONY: demo test check style

demo: .venv/installed  ## raw video files to a table of zero-shot scores, in a few minutes on two cores
	$(BIN)/videobert run demo --store store --workers 2

test: .venv/installed  ## every test
	$(BIN)/python -m pytest -n auto --dist loadfile

check: .venv/installed  ## what a change must pass beside the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

style: .venv/installed  ## put the sources into the project's form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	touch $@
