# Two commands do everything: `make run` and `make test`. Each builds .venv when it is missing or stale.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
GRID ?= smoke

.PHONY: run test test-all bench bench-gpu lint format clean

.venv: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -c constraints.txt -e ".[dev,report,bench]"
	touch $@

run: .venv
	$(BIN)/python grids/main.py run $(GRID)

test: lint
	$(BIN)/python -m pytest

test-all: lint
	$(BIN)/python -m pytest -m "not gpu"

# A process for each file: what one case leaves in memory would be in another one's way.
bench: .venv
	@failed=0; for file in tests/benchmarks/bench_*.py; do \
	  $(BIN)/python -m pytest $$file -m "" -o python_files="bench_*.py" -s || failed=1; \
	done; exit $$failed

bench-gpu: .venv
	$(BIN)/python tests/benchmarks/gpu.py

lint: .venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
