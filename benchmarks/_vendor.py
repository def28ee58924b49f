"""A vendor in a process of its own, so that a benchmark counts its own processor time only.

Speaks the four APIs through `tests.wire`. The model's name says how it answers: `300x2` is 300
pieces of text with 2 ms between them, `2000x0` is 2,000 as fast as the socket takes them.
"""

import asyncio
import sys
from contextlib import AbstractContextManager
from functools import lru_cache

from benchmarks._apart import served
from tests.wire.server import Reply, Request, Wait, WireServer
from tests.wire.streams import DIALECTS

WORDS = ("The ", "parties ", "agree ", "that ", "nothing ", "herein ", "grants ", "a licence. ")
_APIS = {
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
    "/v1/messages": "anthropic",
}


def text(pieces: int) -> str:
    """Return the answer of so many pieces."""
    return "".join(_pieces(pieces))


def vendor() -> AbstractContextManager[str]:
    """Start the process; its address is what is entered."""
    return served("benchmarks._vendor")


def _pieces(count: int) -> list[str]:
    return [WORDS[n % len(WORDS)] for n in range(count)]


def _reply(request: Request) -> Reply:
    api = _APIS.get(request.path, "gemini")
    if api == "gemini":
        model = request.path.rsplit("/", 1)[-1].split(":")[0]
    else:
        model = request.json["model"]
    return _answer(api, model)


@lru_cache
def _answer(api: str, model: str) -> Reply:
    count, pause_ms = map(int, model.split("x"))
    script = DIALECTS[api].answer(_pieces(count))
    acts: list[object] = []
    for event, shown in zip(script.events, script.texts, strict=True):
        acts.append(event)
        if shown and pause_ms:
            acts.append(Wait(pause_ms / 1000))
    return Reply.stream(acts)


async def _serve() -> None:
    async with WireServer(_reply) as server:
        print(server.url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
