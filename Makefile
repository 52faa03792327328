# make run   serve four drives under ./data on 127.0.0.1:9000
# make test  every check and test that CI runs
# make bench the speed table (MinIO and SeaweedFS beside us, where they are installed; warp, or our own load)
# make bench-cluster  four nodes against four of MinIO's, or SeaweedFS's;  make bench-units  what one call costs
# make chaos SEED=1 MINUTES=10  random faults between hosts in network namespaces (as root), every history checked
# make fmt   format and fix; make proto  regenerate protobuf code; make clean  remove what make made

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= data

.PHONY: run test bench bench-cluster bench-units chaos fmt proto clean lint

# The stamps depend on pyproject.toml, so a changed dependency is installed by the next make.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "RustFS needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "could not make a virtual environment: on Debian run 'apt-get install python3-venv'"; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# Programs that are no Python packages; a test that misses one is skipped and says so.
$(VENV)/.installed-tools: tests/deploy/install_tools.sh $(VENV)/.installed-dev
	@tests/deploy/install_tools.sh $(VENV)
	@touch $@

run: $(VENV)/.installed
	@mkdir -p $(DATA)
	$(BIN)/rustfs start '$(DATA)/drive{1...4}'

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python proto/generate.py --check

test: lint $(VENV)/.installed-tools
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pytest -n 2

# BENCH='--quick --only weed' passes options on; bench-units knows --directory.
BENCH ?=
bench: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.bench $(BENCH)

bench-cluster: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.bench.cluster $(BENCH)

bench-units: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.bench.unit_costs $(BENCH)
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.bench.repair $(BENCH)

SEED ?= 1
MINUTES ?= 10
chaos: $(VENV)/.installed-dev
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m tests.netns.chaos --seed $(SEED) --minutes $(MINUTES)

fmt: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: $(VENV)/.installed-dev
	$(BIN)/python proto/generate.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
