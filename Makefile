# The verbs of this project. A person needs two: `make demo` shows it, `make test` proves it.

.DEFAULT_GOAL := help
.PHONY: help demo test unit models check rounds soak bench agents deb rpm packages venv clean need-python need-tmux need-agents

# The first Python that is new enough and can make a virtual environment; PYTHON=… chooses another.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)

BIN := .venv/bin
# Most of a test's time is waiting for processes. A module stays whole: its tests share a world.
ABREAST := -n 2 --dist loadfile
BUILD := $(BIN)/python packaging/build.py
READY := .venv/.agentbridge-ready
CACHE := $(or $(AGENTBRIDGE_LAB),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/agentbridge-lab)

help:
	@echo "make demo    a real Codex and a real Claude Code talk to each other (KEEP=1 leaves them open)"
	@echo "make test    everything: check, unit, integration and end-to-end tests"
	@echo "make unit    the quick tests: no process, no agent; below 30 s"
	@echo "make check   ruff, mypy, layers, plugin in sync, one version"
	@echo "make rounds  kill -9 of daemon, proxy, app-server in the middle of traffic, 50 times (ROUNDS=, SEED=)"
	@echo "make models  the model-based tests for long: some ten minutes of random histories"
	@echo "make soak    ten minutes of random traffic and faults, and a ledger (SOAK_SECONDS, SOAK_SEED)"
	@echo "make bench   what it costs, measured: a hop, the proxy, the store, agentbridgectl"
	@echo "make deb     build a Debian package of this checkout; make rpm builds an RPM"
	@echo "make packages  both, and try them: installed, upgraded, removed, also on another Debian"
	@echo "make clean   remove what these verbs made in this folder"

demo: need-tmux need-agents venv
	@KEEP="$(KEEP)" $(BIN)/python -m tests.demo

test: need-tmux need-agents check agents
	$(BIN)/python -m pytest -q $(ABREAST) --durations=15

unit: venv
	$(BIN)/python -m pytest -q $(ABREAST) -m "not end_to_end and not slow and not realtime"

models: venv
	$(BIN)/python -m pytest -q --hypothesis-profile=long --timeout=0 tests/machines \
		tests/bridges/test_model.py tests/bridges/test_model_to_claude.py

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m agentbridged.ctl.plugin_files --check
	$(BIN)/python -m pytest -q tests/test_layers.py

rounds: need-tmux need-agents venv agents
	AGENTBRIDGE_ROUNDS=$(or $(ROUNDS),50) AGENTBRIDGE_SEED=$(SEED) \
		$(BIN)/python -m pytest -q -s tests/end_to_end/test_kill_rounds.py

soak: need-tmux need-agents venv agents
	@$(BIN)/python -m tests.soak

bench: venv
	$(BIN)/python -m tests.bench

# VERSION=… names another than the checkout's, to try an upgrade. The wheels that are vendored are kept.
deb: venv
	@$(BUILD) deb --wheels "$(CACHE)/wheels" $(addprefix --version=,$(VERSION))

rpm: venv
	@$(BUILD) rpm --wheels "$(CACHE)/wheels" $(addprefix --version=,$(VERSION))

packages: deb rpm agents
	@$(BIN)/python -m tests.lab.debian
	$(BIN)/python -m pytest -q tests/packages

# The two real programs, pinned, in a cache outside this folder (AGENTBRIDGE_LAB=… chooses where).
agents: venv
	@$(BIN)/python -m tests.lab.agents

venv: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(MAKE) --no-print-directory need-python
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing what agentbridge needs into .venv …"
	@$(BIN)/python -m pip install -qq --use-pep517 --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

need-python:
	@test -n "$(PYTHON)" || { \
		echo "agentbridge needs Python 3.11 or newer with its venv module, and found none." >&2; \
		echo "Debian, Ubuntu: apt install python3 python3-venv.  Or name one: make PYTHON=/path/to/python3.12" >&2; \
		exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "agentbridge needs Python 3.11 or newer; $(PYTHON) is older, or does not run." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) has no venv module (Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }

need-tmux:
	@command -v tmux >/dev/null || { \
		echo "tmux is missing: both agents run in it (apt install tmux, brew install tmux)." >&2; exit 1; }

# Asked before anything is installed; tests/lab/agents.py is what then finds or fetches them.
need-agents:
	@command -v npm >/dev/null || test -d "$(CACHE)/node_modules" \
		|| { command -v codex && command -v claude; } >/dev/null || { \
		echo "Node.js with npm is missing: the real codex and claude come by it (nodejs.org)." >&2; exit 1; }

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find agentbridged tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@if [ -L .venv ]; then rm -f $(READY); else rm -rf .venv; fi
