# Everything runs in .venv, made by pip from pyproject.toml; nothing needs a GPU or, after installation, a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORAGE ?= results

.PHONY: install quickstart test lint type clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

quickstart: install  ## a real sweep on real images: 8 searches, their retrainings, a report
	$(BIN)/stcnas run sweeps/quickstart.yaml --storage $(STORAGE)
	$(BIN)/stcnas report sweeps/quickstart.yaml --storage $(STORAGE)

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: install
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) $(STORAGE) .pytest_cache .ruff_cache .hypothesis
