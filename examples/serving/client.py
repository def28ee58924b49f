"""Talk to a served agent: with OpenAI's client, and in a session that can be come back to.

    .venv/bin/python starter.py serve examples/agents/weather.yaml --provider simulated
    .venv/bin/python examples/serving/client.py weather

The first part is what any program does that knows OpenAI's protocol. The second follows a session's
events, hangs up in the middle, and comes back for the rest: nothing is lost, nothing doubled.
"""

import argparse
import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from openai import AsyncOpenAI

QUESTION = "What is the weather in Bonn?"


async def ask_once(url: str, key: str, model: str) -> str:
    """Ask as any of OpenAI's clients does. The header makes a repeated request the same one."""
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as client:
        answer = await client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": QUESTION}],
            extra_headers={"Idempotency-Key": str(uuid.uuid4())},
        )
    return answer.choices[0].message.content or ""


async def talk(url: str, key: str, agent: str) -> str:
    """Begin a session, say something, hang up after three pieces, come back for the rest."""
    headers = {"Authorization": f"Bearer {key}"}
    text, last = "", ""
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=60) as http:
        begun = await http.post("/sessions", json={"agent": agent})
        begun.raise_for_status()
        address = f"{begun.headers['location']}/messages"
        said = {"content": QUESTION, "stream": True}
        async with http.stream("POST", address, json=said) as answer:
            seen = 0
            async for name, id, data in events(answer):
                last = id or last
                text = written(text, name, data)
                seen += name == "text"
                if seen == 3:
                    break
        back = {"Accept": "text/event-stream", "Last-Event-ID": last}
        async with http.stream("GET", address, headers=back) as answer:
            async for name, _, data in events(answer):
                text = written(text, name, data)
        await http.delete(begun.headers["location"])
    return text


def written(text: str, name: str, data: Any) -> str:
    """Return the text after an event. What `done` says counts."""
    if name == "error":
        raise SystemExit(data["message"])
    if name == "superseded":
        return text[: data["keep"]]
    if name == "text":
        return text[: data["offset"]] + str(data["text"])
    return str(data["text"]) if name == "done" else text


async def events(answer: httpx2.Response) -> AsyncIterator[tuple[str, str, Any]]:
    """Yield (event, id, data) of a stream."""
    answer.raise_for_status()
    fields: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif fields:
            yield fields["event"], fields.get("id", ""), json.loads(fields["data"])
            fields = {}


async def main() -> None:
    """Do both, and print what was answered."""
    parser = argparse.ArgumentParser(description="Talk to a served agent.")
    parser.add_argument("agent", help="the name of what is served")
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    wanted = parser.parse_args()
    key = os.environ.get("CALLBOARD_KEY", "none")
    print("asked once: ", await ask_once(wanted.url, key, wanted.agent))
    print("in a session:", await talk(wanted.url, key, wanted.agent))


if __name__ == "__main__":
    asyncio.run(main())
