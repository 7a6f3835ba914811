# The Makefile only calls: what the targets do is in scripts/ and in the package.
# make demo DATA=folder    the demo on your own data (see README)
# make bench ARGS=--full   the benchmarks at the sizes that their claims name; ARGS="start imports" runs some
# make ... PYTHON=python3.12    the interpreter of a new .venv

PYTHON_IN_VENV := .venv/bin/python

.PHONY: demo test lint ui bench clean

demo:
	@scripts/setup.sh local
	@$(PYTHON_IN_VENV) scripts/demo.py $(if $(DATA),--data "$(DATA)")

test:
	@scripts/setup.sh test
	@scripts/test.sh $(ARGS)

lint:
	@scripts/setup.sh test,lint
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

ui:
	@scripts/setup.sh local,parquet
	@$(PYTHON_IN_VENV) scripts/ui.py $(if $(DATA),--data "$(DATA)") $(ARGS)

bench:
	@scripts/setup.sh bench
	@$(PYTHON_IN_VENV) benchmarks $(ARGS)
	@$(if $(DATA),$(PYTHON_IN_VENV) benchmarks/quality.py --data "$(DATA)")

clean:
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
