"""What the example programs share: their options, and how they end.

    --simulated     answer offline, without keys (examples/policies/simulated.yaml)
    --policy FILE   another persona policy than docs/persona_policy.yaml or the shipped one

Errors are told in one line, without a traceback; the exit code is then 1.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from providers.exceptions import ExecutionPlatformError
from providers.router import PersonaRouter

SIMULATED = Path(__file__).parent / "policies" / "simulated.yaml"

Program = Callable[..., Awaitable[None]]


def run(program: Program, **defaults: str) -> None:
    """Call `program(router, **arguments)`; its arguments are positional ones of the command."""
    parser = argparse.ArgumentParser(description=(sys.modules["__main__"].__doc__ or "").strip())
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    for name, default in defaults.items():
        parser.add_argument(name, nargs="?", default=default, help=f"default: {default}")
    parser.add_argument("--simulated", action="store_true", help="answer offline, without keys")
    parser.add_argument("--policy", type=Path, help="persona policy file")
    given = parser.parse_args()
    arguments = {name: getattr(given, name) for name in defaults}
    try:
        asyncio.run(_closing(program, SIMULATED if given.simulated else given.policy, arguments))
    except ExecutionPlatformError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


async def _closing(program: Program, policy: Path | None, arguments: dict[str, str]) -> None:
    router = PersonaRouter(policy)
    try:
        await program(router, **arguments)
    finally:
        await router.aclose()
