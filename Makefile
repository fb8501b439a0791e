# Two commands: `make train` and `make test`. Both make .venv first, once.

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# The main job: a variational information bottleneck on the digits of scikit-learn.
# Another one: make train ARGS="--model_conf … --data_conf … --eval_conf … --arch_impl …"
ARGS ?= --model_conf configurations/models/VIB_digits.yml \
        --data_conf configurations/data/digits_final.yml \
        --eval_conf configurations/eval/VIB_simple_final.yml \
        --arch_impl modules/architectures/simple_digits.py \
        --epochs 30

.PHONY: train test format notebook benchmark torture clean

train: $(INSTALLED)
	$(BIN)/python train.py $(ARGS)

test: $(INSTALLED)
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto

format: $(INSTALLED)
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

# The outputs of notebooks/load_and_compare.ipynb anew, from a sweep of its own; minutes.
notebook: $(INSTALLED)
	$(BIN)/python notebooks/make.py

# Speed by paired runs, and what the examples reach (MNIST too, where DATA_ROOT is set); minutes.
# What it found last is in benchmarks/results.md.
benchmark: $(INSTALLED)
	$(BIN)/python benchmarks/loop.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/examples.py
	$(BIN)/python benchmarks/checkpoint.py
	$(BIN)/python benchmarks/skip.py
	$(BIN)/python benchmarks/server.py

# Kills runs at random moments and continues them, twenty times each; about half an hour. Then a sweep of two
# hundred trials, with its agent and its server killed on the way; about ten minutes.
torture: $(INSTALLED)
	$(BIN)/python benchmarks/torture.py
	$(BIN)/python benchmarks/sweeps.py

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

# Anew only when the packages change.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "JADE needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[digits,dev]'
	touch $@
