# `make demo` runs the main job end to end on a drawn corpus; `make test` runs everything that CI runs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check unit bench clean

demo: .venv/installed
	$(BIN)/visualchat demo --out out/demo

test: check unit

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

unit: .venv/installed
	$(BIN)/pytest -q -n 2 --dist loadgroup

bench: .venv/installed
	$(BIN)/python -m benchmarks

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch .venv/installed

clean:
	rm -rf .venv out
