# Everything a newcomer types. The virtual environment is made on the way, by scripts/venv.sh.

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow test-live check format-check lint types arrows lock fmt api bench

BIN := .venv/bin
export PYTHON ?=
# Where it is set (images often do) every process would compile all modules, and every test's
# asserts, again.
export PYTHONDONTWRITEBYTECODE :=
# pytest's exit code for "no such tests".
none_is_fine = { [ $$? -eq 5 ] && echo "there are none"; }

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: ## Make the virtual environment (EXTRA="claude mcp" for more of it)
	@sh scripts/venv.sh $(foreach extra,$(EXTRA),--extra $(extra))

demo: venv ## Watch a team of agents review a licence (PROVIDER=openai for a real one)
	@$(BIN)/python starter.py demo $(if $(PROVIDER),--provider $(PROVIDER))

test: venv ## Run the tests; says which layers were skipped, and why (ARGS="-k graph")
	@$(BIN)/python -m pytest -n 4 --dist worksteal -m "not slow and not live" $(ARGS)

test-slow: venv ## Run the tests that take minutes, and properties with five times the cases
	@$(BIN)/python -m pytest -n 2 --dist worksteal -m "(slow or hypothesis) and not live" \
		--hypothesis-profile=thorough $(ARGS) || $(none_is_fine)

test-live: venv ## Run the tests against real providers: needs their keys, spends money
	@$(BIN)/python -m pytest -m live $(ARGS) || $(none_is_fine)

check: format-check lint types arrows lock ## Check format, lint, types, import arrows and lock

format-check: venv
	@$(BIN)/ruff format --check .

lint: venv
	@$(BIN)/ruff check .

types: venv
	@$(BIN)/mypy

arrows: venv
	@$(BIN)/lint-imports

lock: venv
	@sh scripts/uv.sh lock --check

fmt: venv ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

api: venv ## Write the API reference (docs/api) from the docstrings
	@$(BIN)/python scripts/api_reference.py

bench: venv ## Measure, beside the bare tools in the same run (ARGS="startup")
	@$(BIN)/python -m benchmarks $(ARGS)
