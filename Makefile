# Everything runs in .venv, made by pip from pyproject.toml; nothing needs a GPU or, after installation, a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORAGE ?= results

.PHONY: install quickstart test faults fuzz scale lint type clean

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

faults: install  ## the fault tests in their long form: 100 random kills of drivers and workers, about an hour
	STCNAS_KILLS=100 $(BIN)/python -m pytest tests/faults tests/orchestrator/test_ray_run.py

fuzz: install  ## coverage-guided fuzzing of everything that reads what others wrote: 250,000 inputs and more
	$(BIN)/python -m pip install --quiet --disable-pip-version-check atheris
	$(BIN)/python tests/fuzz/fuzz.py genotype 150000
	$(BIN)/python tests/fuzz/fuzz.py checkpoint 100000
	$(BIN)/python tests/fuzz/fuzz.py sweep 20000 -max_len=1024

scale: install  ## more than 10,000 simulated trials, 1 % of their workers dying, and the verbs that read them
	$(BIN)/python tests/scale/measure.py $(STORAGE)-simulated --workers 64 --deaths 0.01

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: install
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf $(VENV) $(STORAGE) .pytest_cache .ruff_cache .hypothesis
