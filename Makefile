# Everything a newcomer needs: `make run` and `make test`. Python 3.11 or later, make and git are all they ask for.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: run test setup setup-dev check constraints clean

run: setup ## score the sample of both languages, then serve on loopback
	@mkdir -p out
	$(BIN)/nlp-service score data/sample/feedback.csv out/feedback.jsonl --force
	@echo
	@echo "Scored: out/feedback.jsonl. One of them:"
	$(BIN)/nlp-service analyze "El pedido llegó tarde y nadie contesta al teléfono, pero el repartidor fue encantador."
	@echo "Serving on http://127.0.0.1:$(PORT) - look at http://127.0.0.1:$(PORT)/docs (Ctrl+C stops)"
	$(BIN)/nlp-service serve --port $(PORT)

setup: .venv/base.done

setup-dev: .venv/dev.done

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/base.done: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install -c constraints.txt -e ".[parquet]"
	@touch $@

# torch first and alone: machines that offer a CPU build under this version get it, instead of gigabytes of CUDA.
.venv/dev.done: pyproject.toml constraints.txt | .venv/bin/python
	$(PIP) install "$$(grep '^torch==' constraints.txt)"
	$(PIP) install -c constraints.txt -e ".[dev,offline-base]"
	@touch $@

test: setup-dev check ## every check and every test
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --fail-under=80

check: setup-dev ## lint, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

constraints: ## renew constraints.txt from what is installed after `make setup-dev`
	$(BIN)/pip freeze --exclude-editable --exclude pip --exclude setuptools | grep -v ' @ ' | sed 's/+cpu$$//' | LC_ALL=C sort -f > constraints.txt

clean:
	rm -rf .venv out .mypy_cache .ruff_cache .pytest_cache .hypothesis
