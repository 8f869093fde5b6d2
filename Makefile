# The two commands a newcomer needs are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
ISTHMUS := .venv/bin/isthmus
export PYTHONWARNINGS :=

RESULTS := build/tests
PYTEST := mkdir -p $(RESULTS) && .venv/bin/pytest --maxfail=8 --durations=40 --durations-min=1
PARALLEL := -n 2 --dist loadgroup --no-loadscope-reorder
REAL := tests/cluster tests/lab/test_lifecycle.py tests/network/netns
SHARD ?= 1/6

.PHONY: help prepare demo test quick check style unit coverage cluster smoke figures endurance test-all durations
.PHONY: bench programs lab-down clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

prepare:  ## Make .venv with the pinned packages
	@scripts/prepare

demo: prepare  ## Two real clusters, a pod of one running in the other
	@PYTHONPATH=. .venv/bin/python examples/quickstart/demo.py

test: check cluster  ## Everything CI runs: style, types, unit tests, real clusters, a part of endurance

quick: prepare  ## Style, types, unit tests, two at once
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target style unit

check: prepare  ## quick, and the floor of what unit tests cover
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target style coverage

style: prepare  ## Format, lint, types, layers
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

unit: prepare  ## Tests that need no cluster
	@.venv/bin/pytest -m "not cluster" -n 2 --dist loadfile

coverage: prepare  ## Unit tests, and the lines they cover by package; fails below the floor of each
	@mkdir -p $(RESULTS) && rm -f build/coverage/*
	@.venv/bin/coverage run -m pytest -m "not cluster" -n 2 --dist loadfile -q --junitxml=$(RESULTS)/unit.xml
	@.venv/bin/coverage combine -q && .venv/bin/coverage json -q -o build/coverage/report.json
	@.venv/bin/python scripts/coverage-floor

programs: prepare  ## Build what the lab needs and is not in the cache yet: Kubernetes above all (root, ten minutes, once)
	@$(ISTHMUS) lab build

cluster: programs  ## Tests on the lab's real clusters, a lab for each of two workers (root)
	@$(PYTEST) -m "cluster and not figures and not smoke" $(PARALLEL) --endurance-part=$$(git rev-list --count HEAD) \
		--junitxml=$(RESULTS)/cluster.xml $(REAL)

smoke: prepare  ## One whole life on a standing lab: install, peer, offload, a Service across, unpeer, uninstall
	@$(PYTEST) --junitxml=$(RESULTS)/smoke.xml tests/cluster/test_smoke.py

figures: prepare  ## The tests that hold seconds or megabytes: alone on the machine (root)
	@$(PYTEST) -m "figures and not endurance" --junitxml=$(RESULTS)/figures.xml $(REAL)

endurance: prepare  ## The long tests, a shard of six: make endurance SHARD=2/6 (root, at most half an hour each)
	@$(PYTEST) -m endurance $(PARALLEL) --shard=$(SHARD) --junitxml=$(RESULTS)/endurance-$(subst /,-of-,$(SHARD)).xml $(REAL)

test-all: test figures  ## test, figures and all six shards of endurance (root, hours)
	@for shard in 1 2 3 4 5 6; do $(MAKE) --no-print-directory endurance SHARD=$$shard/6 || exit 1; done

.PHONY: conformance
conformance: programs  ## Kubernetes' own conformance suite, every pod abroad: make conformance FOCUS='sig-cli' (root, an hour)
	@.venv/bin/python -m tests.conformance $(if $(FOCUS),--focus='$(FOCUS)')

durations: prepare  ## Take over how long the last runs' tests took, by which shards and workers are filled
	@.venv/bin/python -m tests.durations $(RESULTS)/*.xml

bench: prepare  ## The figures of docs/benchmarks.md, taken anew on the lab
	@.venv/bin/python -m tests.bench.offloading

lab-down:  ## End the lab's clusters and remove what they left
	@$(ISTHMUS) lab down

clean: lab-down  ## lab-down, and .venv too
	@rm -rf .venv
