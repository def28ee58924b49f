"""A service that generates REST API specifications in three phases.

python examples/services/api_generation.py "A library lends books" --simulated
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, LLMClient, Message


class APIGenerationService:
    """Service for generating REST API specifications."""

    def __init__(self, router: PersonaRouter | None = None) -> None:
        self.router = router or PersonaRouter()

    async def generate_api(self, requirement: str) -> dict[str, str]:
        """Generate complete API specification: requirements, design, review."""
        # Phase 1: Requirements analysis (Claude - fast)
        architect = self.router.get_client("architect")
        req_analysis = await self._execute_phase(
            architect, f"Analyze API requirements: {requirement}"
        )

        # Phase 2: API design (OpenAI - quality)
        designer = self.router.get_client("architect_openai")
        api_design = await self._execute_phase(
            designer, f"Design REST API based on: {req_analysis}", context=[req_analysis]
        )

        # Phase 3: Review (Claude - fast)
        reviewer = self.router.get_client("reviewer")
        review = await self._execute_phase(reviewer, f"Review API design: {api_design}")

        return {"requirements": req_analysis, "design": api_design, "review": review}

    async def _execute_phase(
        self, client: LLMClient, prompt: str, context: list[str] | None = None
    ) -> str:
        """Execute a single phase."""
        messages = [Message(role="assistant", content=ctx) for ctx in context or ()]
        messages.append(Message(role="user", content=prompt))

        request = ChatRequest(messages=messages, max_tokens=1500)
        response = ""

        async for chunk in client.chat(request):
            if chunk.delta_text:
                response += chunk.delta_text

        return response


async def main(router: PersonaRouter, requirement: str) -> None:
    """Print what each phase gave."""
    result = await APIGenerationService(router).generate_api(requirement)
    for phase, text in result.items():
        print(f"## {phase}\n{text}\n")


if __name__ == "__main__":
    run(main, requirement="A library lends books")
