# The two commands a newcomer needs are `make demo` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
ISTHMUS := .venv/bin/isthmus
export PYTHONWARNINGS :=

.PHONY: help prepare demo test unit check cluster endurance bench lab-down clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

prepare:  ## Make .venv with the pinned packages
	@scripts/prepare

demo: prepare  ## Two real clusters, a pod of one running in the other
	@PYTHONPATH=. .venv/bin/python examples/quickstart/demo.py

test: check unit cluster  ## Everything CI runs: style, types, unit tests, real clusters

check: prepare  ## Format, lint, types, layers
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

unit: prepare  ## Tests that need no cluster
	@.venv/bin/pytest -m "not cluster"

cluster: prepare  ## Tests on the lab's real clusters (root)
	@.venv/bin/pytest -m "cluster and not endurance" --durations=30

endurance: prepare  ## The long tests: a thousand peers, a long life, three clusters, 200 kills (root, an hour)
	@.venv/bin/pytest -m endurance

bench: prepare  ## The figures of docs/benchmarks.md, taken anew on the lab
	@.venv/bin/python -m tests.bench.offloading

lab-down:  ## End the lab's clusters and remove what they left
	@$(ISTHMUS) lab down

clean: lab-down  ## lab-down, and .venv too
	@rm -rf .venv
