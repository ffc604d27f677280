# Everything that is done with this repository is a target here; `make` alone lists them.

PYTHON ?= python3
PORT ?= 8000
ARGS ?=
# Twice the processors of CI: tests wait as much as they compute. 0 runs them in one process.
WORKERS ?= 4
NAME ?=

# Images of Python often forbid it: then each process compiles what it imports, and pytest all tests.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
PIP_INSTALL := $(PIP) install -qq --root-user-action=ignore
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
LOCKER := .venv-lock/.installed
SHIPPED := .venv-shipped/.installed
LOCK := .venv-lock/bin/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --quiet

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check fix lock up down fleet bench bench-quick bench-fleet chaos chaos-quick fuzz smoke audit sbom docs site plugin clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: $(RUNTIME) ## build .venv for running (PYTHON=python3.12 chooses the interpreter)

setup-dev: $(DEV) ## build .venv for developing

run: setup ## serve on 127.0.0.1 with SQLite in ./data (PORT=8000)
	@exec $(BIN)/almenara serve --port $(PORT)

test: setup-dev ## run every test, measured; ARGS="-k mail" chooses some, without the gate
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest --numprocesses $(WORKERS) --dist loadgroup --max-worker-restart 0 $(ARGS)
	@$(BIN)/coverage combine --quiet
	$(BIN)/python tests/coverage_gate.py $(if $(strip $(ARGS)),--partial)

check: setup-dev ## what CI runs: lint, format, types, layers, then the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory test

fix: setup-dev ## repair what ruff can repair, and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(LOCKER) ## pin the requirements anew, with hashes and without addresses (ARGS=--upgrade)
	$(LOCK) $(ARGS) pyproject.toml -o requirements.txt
	$(LOCK) $(ARGS) --group pyproject.toml:build -c requirements.txt -o requirements-build.txt
	$(LOCK) $(ARGS) pyproject.toml --extra celery -c requirements.txt -o requirements-celery.txt
	$(LOCK) $(ARGS) pyproject.toml --extra celery --extra apprise --extra testing --extra otel \
		--group pyproject.toml:dev \
		--group pyproject.toml:build -c requirements-celery.txt -o requirements-dev.txt

up: ## start PostgreSQL and RabbitMQ for the tests, in containers
	docker compose --profile test up --detach --wait postgres rabbitmq

down: ## stop and remove what `make up` started, and nothing else
	docker compose --profile test rm --stop --force --volumes postgres rabbitmq

fleet: ## start the whole fleet in containers: PostgreSQL, RabbitMQ, API, two workers
	sh deploy/make-secrets.sh
	docker compose --profile fleet up --detach --build --wait api worker

bench: setup-dev ## measure all of its speed beside references (twenty minutes), and write docs/explanation/benchmarks.md
	$(BIN)/python -m bench.speed --size full --write docs/explanation/benchmarks.md $(ARGS)

bench-quick: setup-dev ## measure the same shortly, and write nothing; ARGS="accepting" chooses some
	$(BIN)/python -m bench.speed --size quick $(ARGS)

bench-fleet: setup-dev ## measure PostgreSQL and workers beside the plain way with Celery; ARGS="--size full"
	$(BIN)/python -m bench.fleet $(ARGS)

chaos: setup-dev ## break it in every way, at length (an hour), and write what came of it into docs
	$(BIN)/python -m bench.chaos --size full --json build/chaos.json --keep build/chaos $(ARGS)
	$(BIN)/python -m bench.chaos.evidence build/chaos.json

chaos-quick: setup-dev ## break it in every way, shortly; ARGS="kill-sqlite" chooses some
	$(BIN)/python -m bench.chaos --size pr $(ARGS)

fuzz: setup-dev ## send it everything that may come, and look at what is left; ARGS="--seed 1"
	$(BIN)/python -m bench.fuzz $(ARGS)

smoke: setup-dev ## start, send, back up and restore as nobody, with one writable directory (needs root)
	$(BIN)/python -m tests.smoke.shut_in

audit: setup-dev ## ask whether a package that is shipped has a known vulnerability
	@$(BIN)/python -m tests.audit_gate $(ARGS)

sbom: setup-dev $(SHIPPED) ## list what is shipped, with licences, as build/sbom.cdx.json (CycloneDX)
	@mkdir -p build
	$(BIN)/cyclonedx-py environment .venv-shipped/bin/python --pyproject pyproject.toml \
		--output-reproducible -o build/sbom.cdx.json

docs: setup-dev ## write the reference pages anew from the code
	$(BIN)/python -m docs.generate

site: setup-dev ## build the documentation as a web site, in site/
	$(BIN)/python -m docs.site

plugin: setup ## write the skeleton of a channel of your own (NAME=telegram)
	@test -n "$(NAME)" || { echo "Which name? make plugin NAME=telegram" >&2; exit 2; }
	$(BIN)/almenara plugins new $(NAME)

clean: ## remove what was built or measured; data/ and plugins/ stay
	rm -rf .venv .venv-lock .venv-shipped .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache .coverage .coverage.* dist build site
	find almenara tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environments; each is made again only when its requirements changed ---

# An interpreter that is too old, or has no pip, is named before anything is made with it.
define make_venv
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { \
		echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name yours: make PYTHON=python3.12" >&2; \
		exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "$(PYTHON) is $$("$(PYTHON)" --version 2>&1); Almenara needs Python 3.11 or newer." >&2; \
		echo "Name a newer one: make PYTHON=python3.12" >&2; \
		exit 1; }
	@test -x $(1)/bin/pip || "$(PYTHON)" -m venv --clear $(1)
endef

$(RUNTIME): requirements.txt requirements-build.txt pyproject.toml
	$(call make_venv,.venv)
	@echo "Installing the requirements into .venv ..."
	@$(PIP_INSTALL) --require-hashes -r requirements.txt -r requirements-build.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing the developers' requirements into .venv ..."
	@$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@touch $@

$(LOCKER):
	$(call make_venv,.venv-lock)
	@.venv-lock/bin/python -m pip --disable-pip-version-check --no-input install -qq \
		--root-user-action=ignore 'uv>=0.9'
	@touch $@

$(SHIPPED): requirements-celery.txt
	$(call make_venv,.venv-shipped)
	@.venv-shipped/bin/python -m pip --disable-pip-version-check --no-input install -qq \
		--root-user-action=ignore --require-hashes -r requirements-celery.txt
	@touch $@
