# Everything runs in .venv, made by pip from pyproject.toml; nothing needs a GPU or, after installation, a network.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORAGE ?= results

.PHONY: install quickstart test docs pages faults cluster-test fuzz scale lint type clean

install: $(VENV)/installed

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[dev]'
	# On all cores, where pip takes one; some packages have files that are meant not to compile.
	$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true
	touch $@

quickstart: install  ## a real sweep on real images: 8 searches, their retrainings, a report
	$(BIN)/stcnas run sweeps/quickstart.yaml --storage $(STORAGE)
	$(BIN)/stcnas report sweeps/quickstart.yaml --storage $(STORAGE)

test: install  ## two processes: one for what is marked `alone`, as what starts Ray is, one for the rest
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

docs: install  ## the site of docs/ in site/; a broken link is an error
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -c .sphinx . site

pages: install  ## the pages of docs/ that are made from the code
	$(BIN)/python -m orchestrator.pages.schema_page > docs/schema.md
	$(BIN)/python -m orchestrator.pages.sweep_page > docs/sweep-file.md
	$(BIN)/python -m orchestrator.pages.cli_page > docs/cli.md
	$(BIN)/python -m analysis.claims_page > docs/claims.md

faults: install  ## the fault tests in their long form: 100 random kills of drivers and workers, about an hour
	STCNAS_KILLS=100 $(BIN)/python -m pytest tests/faults tests/orchestrator/test_ray_run.py tests/orchestrator/test_collect.py

cluster-test: install  ## whole clusters on this machine, as root, with slurm-wlm, munge, iptables, openssh-server and rsync
	$(BIN)/python -m pip install --quiet --disable-pip-version-check kubernetes-validate
	STCNAS_CLUSTERS=1 $(BIN)/python -m pytest tests/clusters

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
	rm -rf $(VENV) $(STORAGE) site .pytest_cache .ruff_cache .hypothesis
