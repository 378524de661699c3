# make train   creates the environment, installs, and runs the main job
# make test    installs what the tests need and runs the fast ones
# make results  trains what is missing of docs/results.md (hours where nothing is there) and writes it anew
# Needs git, make and Python 3.11 or 3.12. Uses uv where it is there, else pip. Versions are pinned in constraints.txt.

VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3,$(shell command -v $(name) 2>/dev/null)))
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
WORKERS ?= 2

ifeq ($(UV),)
CREATE = $(PYTHON) -m venv $(VENV)
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
else
CREATE = $(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
INSTALL = $(UV) pip install --quiet --python $(BIN)/python -c constraints.txt
endif

.PHONY: train test slow lint format bench results kernels lock clean

train: $(VENV)/.installed
	$(BIN)/throughtime train

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) -m "not slow"

slow: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS) -m slow

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.installed-bench
	$(BIN)/throughtime bench cells
	$(BIN)/throughtime bench ppo
	$(BIN)/throughtime bench scaling

results: $(VENV)/.installed-minigrid  # one of the environments is MiniGrid's
	$(BIN)/throughtime results bars --out docs/results
	cp docs/results/results.md docs/

$(VENV)/.installed: pyproject.toml setup.py constraints.txt $(wildcard src/throughtime/kernels/native/*)
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or 3.12 found. Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	  || { echo "throughtime needs Python 3.11 or 3.12; $(PYTHON) is another. Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(CREATE)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed
	$(INSTALL) -e ".[$*]"
	@touch $@

kernels: $(VENV)/.installed
	THROUGHTIME_BUILD=require $(INSTALL) --no-deps --force-reinstall -e .

# For every platform and both Pythons at once; needs uv. Add --upgrade for newer versions.
lock:
	uv pip compile --universal --python-version 3.11 --no-header --no-annotate --extra lint --extra test \
	  pyproject.toml -o constraints.txt
	@sed -i '1i # Exact versions for pip and uv, Python 3.11 and 3.12. `make lock` writes this file.' constraints.txt

clean:
	rm -rf $(VENV) build dist *.egg-info src/*.egg-info src/throughtime/kernels/*.so .pytest_cache .ruff_cache .hypothesis
