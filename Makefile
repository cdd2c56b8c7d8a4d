# Tiger Tally. `make` alone lists the targets.
SHELL := /bin/bash
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# A consortium is twenty processes: without what is compiled once each compiles every module itself.
unexport PYTHONDONTWRITEBYTECODE
PY := .venv/bin/python
FORGE := node_modules/@foundry-rs/forge-linux-amd64/bin/forge
KEEP ?=
COUNT ?= 1000

.DEFAULT_GOAL := help
.PHONY: help setup dev demo test test-python test-contracts test-applet lint reformat contracts bench lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 18

setup:
	@tools/setup.sh run

dev: ## install everything that development needs
	@tools/setup.sh dev

demo: setup ## set up, then show the main job on the embedded ledger (KEEP=1 leaves it running)
	@.venv/bin/tally demo --count $(COUNT) $(if $(KEEP),--keep)

test: dev test-contracts test-applet test-python ## set up, then run the whole suite

test-contracts: dev
	@echo "== contracts: unit, fuzz and invariant tests"
	@$(FORGE) test

test-applet: dev
	@echo "== Java Card applet and its card server"
	@mvn -q -B -Dmaven.wagon.http.retryHandler.count=5 -Dmaven.test.redirectTestOutputToFile=true -f sim_applet_tools/applet/pom.xml verify

test-python: dev
	@echo "== Python, agreement, end to end"
	@$(PY) -m pytest -n 2 --dist loadgroup $(if $(CI),--no-skips)

lint: dev ## ruff, mypy, import rules, solhint, forge fmt, generated files
	@.venv/bin/ruff check . && .venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@$(FORGE) fmt --check contracts
	@node_modules/.bin/solhint --noPoster --max-warnings 0 'contracts/**/*.sol'
	@$(PY) tools/build_contracts.py --check

reformat: dev ## format Python and Solidity
	@.venv/bin/ruff check --fix -q . ; .venv/bin/ruff format .
	@$(FORGE) fmt contracts

contracts: dev ## build ABI, bytecode and Reasons.sol into the Python package
	@$(PY) tools/build_contracts.py

bench: dev ## measure; writes build/bench.json and prints a table
	@$(PY) -m tests.bench

lock: ## renew requirements.txt and package-lock.json
	@.venv/bin/uv pip compile --quiet --upgrade --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --extra dev pyproject.toml requirements.in -o requirements.txt
	@npm install --package-lock-only --ignore-scripts && node -e 'const fs=require("fs"),f="package-lock.json",l=JSON.parse(fs.readFileSync(f));for(const p of Object.values(l.packages))delete p.funding;fs.writeFileSync(f,JSON.stringify(l,null,2)+"\n")'

clean: ## remove what was built and installed
	@rm -rf .venv node_modules .forge build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
