"""Pattern 3: a workflow whose phases are served by different providers, with one context.

python examples/patterns/provider_switching.py "A shop for used books" --simulated
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


async def multi_provider_workflow(
    requirement: str, router: PersonaRouter | None = None
) -> dict[str, str]:
    """Execute a workflow across multiple providers."""
    router = router or PersonaRouter()
    results = {}

    # Phase 1: Requirements (Claude - fast)
    phase1_client = router.get_client("architect")
    req1 = ChatRequest(
        messages=[Message(role="user", content=f"Analyze: {requirement}")],
        max_tokens=500,
    )

    results["requirements"] = ""
    async for chunk in phase1_client.chat(req1):
        if chunk.delta_text:
            results["requirements"] += chunk.delta_text

    # Phase 2: Architecture (OpenAI - quality)
    phase2_client = router.get_client("architect_openai")
    req2 = ChatRequest(
        messages=[
            Message(role="user", content=f"Analyze: {requirement}"),
            Message(role="assistant", content=results["requirements"]),
            Message(role="user", content="Design the architecture"),
        ],
        max_tokens=800,
    )

    results["architecture"] = ""
    async for chunk in phase2_client.chat(req2):
        if chunk.delta_text:
            results["architecture"] += chunk.delta_text

    # Phase 3: Review (Claude - fast)
    phase3_client = router.get_client("reviewer")
    req3 = ChatRequest(
        messages=[
            Message(role="user", content="Review this architecture"),
            Message(role="assistant", content=results["architecture"]),
        ],
        max_tokens=500,
    )

    results["review"] = ""
    async for chunk in phase3_client.chat(req3):
        if chunk.delta_text:
            results["review"] += chunk.delta_text

    return results


async def main(router: PersonaRouter, requirement: str) -> None:
    """Print what each phase gave."""
    results = await multi_provider_workflow(requirement, router)
    for phase, text in results.items():
        print(f"## {phase}\n{text}\n")


if __name__ == "__main__":
    run(main, requirement="A shop for used books")
