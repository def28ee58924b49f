"""A service that reviews code.

python examples/services/code_review.py examples/command.py --simulated
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


class CodeReviewService:
    """Automated code review service."""

    def __init__(self, router: PersonaRouter | None = None) -> None:
        self.router = router or PersonaRouter()

    async def review_code(self, code: str, language: str = "python") -> dict[str, str]:
        """Perform comprehensive code review."""
        # Use OpenAI for thorough review
        reviewer = self.router.get_client("reviewer_openai")

        request = ChatRequest(
            messages=[
                Message(
                    role="system",
                    content=f"You are an expert {language} code reviewer.",
                ),
                Message(
                    role="user",
                    content=f"Review this {language} code:\n\n{code}",
                ),
            ],
            max_tokens=2000,
            temperature=0.3,  # Lower temperature for consistency
        )

        review_text = ""
        async for chunk in reviewer.chat(request):
            if chunk.delta_text:
                review_text += chunk.delta_text

        return {
            "review": review_text,
            "language": language,
            "reviewer": reviewer.provider,
        }


async def main(router: PersonaRouter, file: str) -> None:
    """Review a file."""
    result = await CodeReviewService(router).review_code(Path(file).read_text())
    print(f"{result['review']}\n({result['language']}, by {result['reviewer']})")


if __name__ == "__main__":
    run(main, file=__file__)
