# Everything uses one virtual environment in the checkout, made when it is missing or older than the lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export FLYWHEEL_HOME ?= data
export PYTHONUNBUFFERED := 1

.PHONY: demo up test test-fast lint bench campaign schema clean system

demo: $(STAMP)  ## two weekly rounds of the demo world, log to promoted model; ends with the report's path
	$(BIN)/flywheel demo --home data/demo --weeks 2

up: $(STAMP)  ## Dagster UI and daemon on the run state (FLYWHEEL_HOME)
	$(BIN)/flywheel up

test: $(STAMP) system lint  ## every test; installs system packages when root, else skips those tests by name
	$(BIN)/python -m pytest -p no:cacheprovider

test-fast: $(STAMP)
	$(BIN)/python -m pytest -m "not slow and not browser"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## benchmarks: ratios side by side, JSON below bench/results
	$(BIN)/python -m bench

campaign: $(STAMP)  ## long statistical and endurance runs; results below bench/results
	$(BIN)/python -m bench --campaign

schema: $(STAMP)
	$(BIN)/flywheel schema > docs/schema.json

system:
	@sh deploy/system-packages.sh

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed (set PYTHON=...)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) --version) is too old: Flywheel needs 3.11 or newer (set PYTHON=...)"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (some minutes the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH) -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

clean:
	rm -rf $(VENV) build *.egg-info
