# `make demo` runs the main job end to end on a drawn corpus; `make test` runs everything that CI runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check docs unit search campaign bench clean

demo: .venv/installed
	$(BIN)/visualchat demo --out out/demo

test: check unit

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# a file is one process's, so that what its tests share is built once
# the docs as a site in out/site; links and names that do not exist are errors
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

unit: .venv/installed
	$(BIN)/pytest -q -n 2 --dist loadfile --no-loadscope-reorder

# the property tests over examples that no run has drawn before, again and again for ten minutes
SEARCH_SECONDS ?= 600
search: .venv/installed
	HYPOTHESIS_PROFILE=searching timeout $(SEARCH_SECONDS) sh -c 'while $(BIN)/pytest -q -x -n 2 -m hypothesis; do :; done'; test $$? = 124

# kills, mutated inputs, cut streams, bad servers and bad clients at random, for about an hour
campaign: .venv/installed
	$(BIN)/python -m benchmarks.campaign

bench: .venv/installed
	$(BIN)/python -m benchmarks

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed

clean:
	rm -rf .venv out
