# `make help` lists what this can do. Needs Python 3.11 or newer (with venv) and make; nothing else.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
ROWS ?=
MINUTES ?= 20
SEED ?=
ARGS ?=
# Most tests wait for servers most of the time. ARGS='-n 0' runs them one after the other.
SIDE_BY_SIDE := -n 3 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help up drill resync handoff pipeline batch test soak screenshots bench check format lock clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 13

up: $(INSTALLED)  ## two embedded servers, loaded by TST and kept equal by SNK (ROWS=200000 stops after so many)
	@$(BIN)/snk up $(if $(ROWS),--rows $(ROWS)) $(ARGS)

drill: $(INSTALLED)  ## kill, crash, cut and silence an embedded pair under load, and count what is lost (ARGS=--list)
	@$(BIN)/snk drill $(ARGS)

resync: $(INSTALLED)  ## damage counters in Redis and rows in a database, both embedded, and repair them
	@$(BIN)/snk resync demo

handoff: $(INSTALLED)  ## miss writes of two embedded backends that are killed and cut off, and replay them
	@$(BIN)/snk handoff demo

pipeline: $(INSTALLED)  ## bring a day of minutes from one embedded server to another while all of it fails (ARGS='--seconds 60')
	@$(BIN)/snk pipeline demo $(ARGS)

batch: $(INSTALLED)  ## load five files by a message, while a node, a consumer and a record come to harm
	@$(BIN)/snk batch demo $(ARGS)

test: $(INSTALLED)  ## the tests, on real embedded servers (ARGS=--long: also those that take long)
	$(BIN)/pytest $(SIDE_BY_SIDE) $(ARGS)

soak: $(INSTALLED)  ## hostile writers and faults of all kinds for MINUTES=20, to the exact end (SEED= does it again)
	$(BIN)/python -m tests.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(ARGS)

screenshots: $(INSTALLED)  ## pictures of every page, in a folder of this name, and those of README; needs Chromium
	$(BIN)/pytest -n 0 -q -k everybody --pictures screenshots tests/*/portal tests/portal $(ARGS)
	$(BIN)/python -m tests.screenshots

bench: $(INSTALLED)  ## SNK against the database's own replication and others, side by side: hours (ARGS='live --rounds 3')
	@$(BIN)/pip install --quiet --require-hashes -r bench/requirements.lock
	$(BIN)/python -m bench $(ARGS)

check: $(INSTALLED)  ## what CI runs: format, lint, types, import contracts, known vulnerabilities, all tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit
	$(BIN)/pytest $(SIDE_BY_SIDE) --long $(ARGS)

format: $(INSTALLED)  ## format the code and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(INSTALLED)  ## renew requirements.lock from pyproject.toml: names, versions and hashes
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-annotate --no-header --no-emit-index-url pyproject.toml -o requirements.lock

clean:  ## remove the virtual environment and the tools' caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "SNK needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 ..."; exit 2; }
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@
