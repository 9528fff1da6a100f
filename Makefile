# Every target sets up what it needs, from a package index alone; a second run finds it in place.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Every process of the platform would compile what it imports: seconds each time.
unexport PYTHONDONTWRITEBYTECODE
EXTRAS := $(foreach extra,streams batch serving pipeline boosting search explain notebook s3 tracing local dev,--extra $(extra))
COMPILE := $(BIN)/uv pip compile --quiet --python-version 3.11 --generate-hashes --no-annotate --no-header --no-emit-index-url

.PHONY: help setup jars archives browser flink demo test notebooks screenshots malformed mutants soak lint bench up down clean lock

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/.installed ## virtual environment from the lock

.venv/.installed: infra/locks/build.txt infra/locks/platform.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing the packages of infra/locks/platform.txt into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/locks/build.txt
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r infra/locks/platform.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

jars: setup
	@$(BIN)/python infra/jvm/fetch.py

# Tests start Java dozens of times; from an archive of its classes it takes half as long.
archives: jars .jvm/archives.stamp

.jvm/archives.stamp: .venv/.installed infra/jvm/jars.txt | jars
	@$(BIN)/python infra/jvm/archives.py
	@touch $@

browser: setup ## the Chromium of the console's tests: the machine's own, or one fetched once into .browser
	@$(BIN)/python infra/browser/fetch.py

flink: setup .venv-flink/.installed ## Flink in an environment of its own, and our jobs for it, compiled
	@$(BIN)/python infra/jvm/fetch.py --with flink

# Flink's Python package pins older versions of what the platform uses.
.venv-flink/.installed: infra/locks/flink.txt | setup
	@test -x .venv-flink/bin/python || $(PYTHON) -m venv .venv-flink
	@echo "installing the packages of infra/locks/flink.txt into .venv-flink"
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-flink/bin/python --require-hashes -r infra/locks/flink.txt
	@touch $@

demo: setup jars $(if $(filter flink,$(LANE)),flink) ## flights: train, deploy, stream, predict, swap, compare; LANE=flink; ARGS=--keep leaves it running
	@$(BIN)/python -m examples.flights $(if $(LANE),--lane $(LANE)) $(ARGS)

test: setup archives flink browser ## the whole test suite, three files at a time: most tests wait for something
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

screenshots: setup jars browser ## pictures of the console's pages, light and dark, into docs/screenshots
	@$(BIN)/python -m tests.e2e.screenshots docs/screenshots

malformed: setup ## ten thousand malformed requests to a model server; COUNT=
	$(BIN)/python -m tests.unit.serving.malformed $(or $(COUNT),10000)

mutants: setup ## ten thousand mutated model files of each kind, none of which may be served wrong; COUNT=
	BIGHEAD_TEST_MUTANTS=$(or $(COUNT),10000) $(BIN)/python -m pytest --timeout 7200 tests/unit/serving/test_mutants.py

notebooks: setup ## build and execute the notebooks of docs from their sources
	@$(BIN)/python -m infra.notebooks $(ARGS)

soak: setup jars ## a model server under everything at once, memory and descriptors flat; MINUTES=30
	$(BIN)/python -m tests.integration.soak $(or $(MINUTES),30)

lint: setup ## style, types, import rules, generated code, schema compatibility
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python infra/codegen.py --check
	$(BIN)/python infra/schema_history.py check

bench: setup jars flink ## measurements, side by side with the alternatives
	@$(BIN)/python -m benchmarks $(ARGS)

up: setup jars ## start the platform on this machine and leave it running
	@$(BIN)/bighead up

down: setup ## stop it; its data stays in .bighead
	@$(BIN)/bighead down

clean: ## stop it and delete everything that is not in git: packages, jars, caches, data
	@test ! -x $(BIN)/bighead || $(BIN)/bighead down
	rm -rf .venv .venv-flink .jvm .browser .cache .bighead dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

lock: setup ## resolve the locks again, to the newest versions that pyproject.toml allows
	$(COMPILE) --upgrade --universal $(EXTRAS) -o infra/locks/platform.txt pyproject.toml
	$(COMPILE) --upgrade --extra flink -o infra/locks/flink.txt pyproject.toml
	$(COMPILE) --universal --extra streams --extra serving --extra s3 --extra tracing -c infra/locks/platform.txt -o infra/locks/containers.txt pyproject.toml
	printf 'uv\nhatchling\neditables\n' | $(COMPILE) --upgrade --universal -o infra/locks/build.txt -
