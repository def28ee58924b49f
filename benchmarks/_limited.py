"""A vendor with limits, in a process of its own: exact sliding windows, 429 for what passes them.

Speaks Chat Completions. Tokens are a quarter of the prompt's bytes and all of `max_tokens`, which
every answer uses up. Writes one line for each request into the file it is given.
"""

import asyncio
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from tests.wire.server import Reply, Request, Wait, WireServer

REQUESTS, TOKENS, WINDOW_S = 600, 100_000, 60.0
ANSWER_S = 0.2


class Windows:
    """What was let in within the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._tokens = 0

    def take(self, at: float, tokens: int) -> bool:
        """Count a request, unless it is one too many."""
        while self._seen and self._seen[0][0] <= at - WINDOW_S:
            self._tokens -= self._seen.popleft()[1]
        if len(self._seen) + 1 > REQUESTS or self._tokens + tokens > TOKENS:
            return False
        self._seen.append((at, tokens))
        self._tokens += tokens
        return True


def _event(choices: list[dict[str, Any]], **more: Any) -> bytes:
    chunk = {"id": "c1", "object": "chat.completion.chunk", "model": "limited"}
    return f"data: {json.dumps({**chunk, 'choices': choices, **more})}\n\n".encode()


def _answer(prompt: int, completion: int) -> Reply:
    said = {"index": 0, "delta": {"role": "assistant", "content": "Yes. " * completion}}
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return Reply.stream(
        [
            Wait(ANSWER_S),
            _event([{**said, "finish_reason": None}]),
            _event([{"index": 0, "delta": {}, "finish_reason": "stop"}]),
            _event([], usage=usage),
            b"data: [DONE]\n\n",
        ]
    )


async def _serve(log: Path) -> None:
    windows = Windows()
    with log.open("w", buffering=1) as lines:

        def reply(request: Request) -> Reply:
            asked = request.json
            size = sum(len(turn["content"].encode()) for turn in asked["messages"])
            prompt, completion = -(-size // 4), asked["max_tokens"]
            at = time.monotonic()
            passed = windows.take(at, prompt + completion)
            print(json.dumps([at, prompt + completion, passed]), file=lines)
            if passed:
                return _answer(prompt, completion)
            return Reply.error(429, b'{"error": {"message": "slower", "type": "requests"}}')

        async with WireServer(reply) as server:
            print(server.url, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
