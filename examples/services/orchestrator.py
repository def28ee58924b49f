"""A service that leads one piece of work through several personas and providers.

For work that must survive a crash, or keep to a budget, write a team instead: examples/hello.yaml.

python examples/services/orchestrator.py "An alarm clock for deep sleepers" --simulated
"""

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


class MultiProviderOrchestrator:
    """Orchestrate work across multiple providers."""

    def __init__(self, router: PersonaRouter | None = None) -> None:
        self.router = router or PersonaRouter()

    async def execute_workflow(self, phases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Execute multi-phase workflow.

        Each phase is {"persona": "architect", "prompt": "…"}, with "name" and "max_tokens" where
        wanted, and sees what the phases before it gave. Returns the phases' results in order.
        """
        results: list[dict[str, Any]] = []
        context: list[dict[str, Any]] = []

        for phase in phases:
            # Get client for this phase
            client = self.router.get_client(phase["persona"])

            # Build messages with context
            messages = [Message(role="assistant", content=prev["output"]) for prev in context]
            messages.append(Message(role="user", content=phase["prompt"]))

            # Execute phase
            request = ChatRequest(messages=messages, max_tokens=phase.get("max_tokens", 1000))

            output = ""
            start_time = time.monotonic()

            async for chunk in client.chat(request):
                if chunk.delta_text:
                    output += chunk.delta_text

            duration = time.monotonic() - start_time

            # Store result
            result = {
                "phase": phase.get("name", f"Phase {len(results) + 1}"),
                "persona": phase["persona"],
                "provider": client.provider,
                "output": output,
                "duration_ms": duration * 1000,
            }

            results.append(result)
            context.append(result)

        return results


async def main(router: PersonaRouter, idea: str) -> None:
    """Lead an idea through three personas."""
    phases = [
        {"name": "design", "persona": "architect", "prompt": f"Design this: {idea}"},
        {"name": "code", "persona": "code_writer", "prompt": "Write its main part"},
        {"name": "tests", "persona": "qa_engineer", "prompt": "Which tests does it need?"},
    ]
    for result in await MultiProviderOrchestrator(router).execute_workflow(phases):
        print(f"## {result['phase']} ({result['persona']}, {result['provider']})")
        print(f"{result['output']}\n")


if __name__ == "__main__":
    run(main, idea="An alarm clock for deep sleepers")
