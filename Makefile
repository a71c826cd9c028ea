SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: chaos help setup protos locks demo retrain lint check test bench images cluster-test clean

PYTHON := .venv/bin/python
export PYTHONPATH := .
# Only what was given to make: a shell has a variable SECONDS of its own.
DEMO_OPTIONS = $(if $(filter command,$(firstword $(origin SECONDS))),--seconds $(SECONDS)) $(if $(RECORDING),--recording $(RECORDING)) \
	$(if $(SIGNAL),--signal $(SIGNAL)) $(if $(SEED),--seed $(SEED)) $(if $(PORT_BASE),--port-base $(PORT_BASE)) \
	$(if $(BROKER),--broker $(BROKER))
IMAGES_OPTIONS = $(if $(ONLY),--only '$(ONLY)') $(if $(TAG),--tag '$(TAG)') $(if $(BASE),--base '$(BASE)') \
	$(if $(REGISTRY),--registry '$(REGISTRY)') $(if $(LOAD),--load '$(LOAD)') $(if $(BUILD_OPTIONS),--build-options='$(BUILD_OPTIONS)')
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help:            ## this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

setup:           ## check prerequisites, make .venv, generate protos, fetch the broker; a second run downloads nothing
	@python=$$(PATH="$${PATH#*:}"; command -v python3.11 || command -v python3) || { \
		echo "missing: Python 3.11: sudo apt-get install python3.11 python3.11-venv" >&2; exit 1; }; \
	"$$python" infra/prepare.py

protos: setup    ## generate Python from protos/ (setup does it when one changed)

locks: setup     ## compile the dependency groups of pyproject.toml into requirements/
	$(PYTHON) -m infra.locks

demo: setup      ## the whole platform live; SECONDS=120 ends by itself, SIGNAL=0 has no signal, RECORDING=FILE,FILE plays a recording
	@exec $(PYTHON) -m infra.demo $(DEMO_OPTIONS)

retrain: setup   ## the next model of the running demo; DATA=FOLDER: of real bars, under production; STEP=NAME RUN=NAME: one step
	@$(PYTHON) -m $(if $(DATA)$(STEP),pipelines.retrain $(STEP) $(if $(DATA),--data $(DATA)) $(if $(RUN),--run $(RUN)),infra.demo.again)

chaos: setup     ## kill every process of a demo at random for MINUTES=10, then join venue, journal, topics and archive by id
	@$(PYTHON) -m tests.e2e.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(CHAOS_SEED),--seed $(CHAOS_SEED))

lint: setup      ## style, types, protos and import contracts only
	ruff check .
	ruff format --check .
	buf lint . --config protos/buf.yaml --path protos
	lint-imports --cache-dir .cache/import_linter
	mypy

check: lint      ## the quick checks: style, types, import contracts, protos, architecture and unit tests
	pytest -q -n 2 tests/architecture tests/unit

test: lint       ## everything: the checks, then unit, contract, integration and end-to-end tests
	$(PYTHON) -m tests.run

bench: setup     ## speed beside named peers
	@for file in tests/benchmarks/*_bench.py; do \
		echo; $(PYTHON) -m "tests.benchmarks.$$(basename "$$file" .py)" || exit 1; done

images:          ## all images of the platform; ONLY=NAME,NAME TAG=0.1.0 BASE=IMAGE REGISTRY=HOST/ LOAD='docker push {image}'
	@$$(PATH="$${PATH#*:}"; command -v python3.11 || command -v python3) -m infra.images $(IMAGES_OPTIONS)

cluster-test: setup ## install into the cluster of KUBECONFIG, use it, break it, clean up; NAMESPACE=NAME KEEP=1 AGAIN=1 ONLY=NAME,NAME VALUES=FILE
	@$(PYTHON) -m tests.cluster $(if $(NAMESPACE),--namespace $(NAMESPACE)) $(if $(KEEP),--keep) $(if $(AGAIN),--again) \
		$(if $(ONLY),--only '$(ONLY)') $(if $(VALUES),--values '$(VALUES)')

clean:           ## forget every environment of the demo (.state)
	rm -rf .state
