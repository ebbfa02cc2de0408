# make demo: denoise the example cube.  make paper: the paper's experiment.  make test: run the tests.
# make check: style, types, docstrings, imports.  make docs: build the pages, and run their tutorials.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DOCS_VENV ?= .venv-docs
NETWORKS := eut-small eut-placed eut-position
PAPER_MODELS := gaussian,savgol,butterworth,wavelet,pca,wiener,posterior,eut-small,eut-placed,eut-position
SOURCES := $(shell find src -type f -not -name '*.pyc')

.PHONY: demo paper test check docs clean

demo: $(VENV)/.demo
	$(BIN)/quietspec demo

paper: $(VENV)/.lab
	$(BIN)/quietspec models $(foreach name,$(NETWORKS),--add src/quietspec/models/$(name).onnx)
	mkdir -p paper
	$(BIN)/quietspec lab evaluate --recipe paper --models $(PAPER_MODELS) -n 10000 --json paper/scores.json --figures paper

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.check
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/numpydoc lint $(filter %.py,$(SOURCES))
	$(BIN)/lint-imports

docs: $(DOCS_VENV)/.docs
	rm -rf docs/_generated # what an earlier version made
	$(DOCS_VENV)/bin/sphinx-build --fail-on-warning --keep-going --fresh-env --quiet docs docs/_build/html
	@echo "docs/_build/html/index.html"

clean:
	rm -rf .venv .venv-check .venv-docs docs/_build docs/_generated build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Each stamp says what $(VENV) holds. The editable installs serve the demo and the paper too; the plain ones are what a user
# gets, and undo them.
$(VENV)/.demo: pyproject.toml $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet .
	rm -f $(VENV)/.lab $(VENV)/.test $(VENV)/.check
	touch $@

$(VENV)/.lab: pyproject.toml $(SOURCES) | $(BIN)/python
	$(BIN)/python -m pip install --quiet '.[lab]'
	rm -f $(VENV)/.test $(VENV)/.check
	touch $(VENV)/.demo $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,train]'
	touch $(VENV)/.demo $(VENV)/.lab $@

$(VENV)/.check: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[test,train,dev]'
	touch $(VENV)/.demo $(VENV)/.lab $(VENV)/.test $@

# An environment of its own: the pages need no torch, and Sphinx brings many packages.
$(DOCS_VENV)/.docs: pyproject.toml
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --editable '.[docs]'
	touch $@
