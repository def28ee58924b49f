"""What importing the provider layer costs: no vendor's SDK, no price table."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def test_importing_the_router_imports_no_sdk():
    code = (
        "import sys, providers.router, providers.registry, providers.calls\n"
        "for p in providers.registry.names(): providers.registry.availability(p, {})\n"
        "heavy = {'openai', 'anthropic', 'google.genai', 'claude_agent_sdk', 'genai_prices'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert out.stdout.strip() == "[]"
