"""Pattern 4: several requests at once.

python examples/patterns/parallel.py --simulated
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from examples.command import run
from providers.router import PersonaRouter
from providers.spi import ChatRequest, Message


async def parallel_execution(
    tasks: list[dict[str, Any]], router: PersonaRouter | None = None
) -> list[str]:
    """Execute multiple requests in parallel; the answers are in the order of the tasks."""
    router = router or PersonaRouter()

    async def execute_task(task: dict[str, Any]) -> str:
        client = router.get_client(task["persona"])
        request = ChatRequest(
            messages=[Message(role="user", content=task["prompt"])],
            max_tokens=task.get("max_tokens", 500),
        )

        response = ""
        async for chunk in client.chat(request):
            if chunk.delta_text:
                response += chunk.delta_text

        return response

    # Execute all tasks concurrently
    return await asyncio.gather(*[execute_task(task) for task in tasks])


TASKS = [
    {"persona": "architect", "prompt": "Design API"},
    {"persona": "code_writer", "prompt": "Write handler"},
    {"persona": "qa_engineer", "prompt": "Create tests"},
]


async def main(router: PersonaRouter) -> None:
    """Print the answers."""
    results = await parallel_execution(TASKS, router)
    for task, text in zip(TASKS, results, strict=True):
        print(f"## {task['prompt']}\n{text}\n")


if __name__ == "__main__":
    run(main)
