"""What a worker and an engine import when they start, and what only once it is needed.

Asserted by names, not by time: a machine with other work is several times slower.
"""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
SDKS = ("openai", "anthropic", "google.genai", "claude_agent_sdk", "mcp", "httpx", "aiohttp")
LATER = ("genai_prices", "jsonschema", "cel", "pyrate_limiter", "tenacity", "redis", "cryptography")
FILES = ("config.settings", "pydantic_settings", "dotenv", "argparse")
"""What reads the settings: needed once something is run."""
SCREEN = ("rich", "typer", "click", "fastapi", "starlette", "uvicorn", "opentelemetry")


def imported(statement: str) -> set[str]:
    """Return what a fresh interpreter has imported after a statement."""
    out = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    return set(out.stdout.split())


@pytest.mark.parametrize("module", ["worker", "client.engine", "client.execution", "client.chat"])
def test_what_is_not_needed_to_start_is_not_imported(module: str) -> None:
    found = imported(f"import {module}")
    assert module in found
    assert not found & {*SDKS, *LATER, *SCREEN, *FILES}


def test_an_engine_without_limits_needs_no_library_for_them() -> None:
    found = imported(
        "from client.engine import RateLimitConfig, RateLimiter\n"
        "RateLimiter(RateLimitConfig.unlimited())"
    )
    assert "client.engine" in found
    assert "pyrate_limiter" not in found


def test_contracts_and_rules_import_nothing_that_waits() -> None:
    found = imported("import contracts.plans, contracts.chats, rules.graph, rules.ledger")
    assert not found & {"temporalio.client", "temporalio.worker", "obstore", *SDKS, *LATER, *SCREEN}
