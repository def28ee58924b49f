"""A session's events as a client follows them, and a tool that its agent has."""

from pathlib import Path
from typing import Any

from contracts.tools import FunctionTool
from tests.serving.stage import Event, Stage, events

SSE = {"Accept": "text/event-stream"}
TOOLS = '''
def weather(city: str) -> str:
    """Tell the weather."""
    return "sun in " + city
'''


async def followed(
    on: Stage, path: str, method: str = "GET", last: str | None = None, **more: Any
) -> list[Event]:
    """Return all events of a stream."""
    headers = {**SSE, **({"Last-Event-ID": last} if last else {}), **more.pop("headers", {})}
    async with on.http.stream(method, path, headers=headers, **more) as answer:
        assert answer.status_code == 200, (await answer.aread()).decode()
        return [event async for event in events(answer)]


def text_of(told: list[Event]) -> str:
    """Return the text of a turn's last call, as a reader holds it who does what he is told."""
    texts: dict[str, str] = {}
    for one in told:
        if one.name == "superseded":
            texts[one.data["unit"]] = texts.get(one.data["unit"], "")[: one.data["keep"]]
        if one.name == "text":
            before = texts.get(one.data["unit"], "")[: one.data["offset"]]
            texts[one.data["unit"]] = before + one.data["text"]
    return list(texts.values())[-1] if texts else ""


def names(told: list[Event]) -> list[str]:
    """Return the kinds of events, runs of one kind as one."""
    found: list[str] = []
    for one in told:
        if found[-1:] != [one.name]:
            found.append(one.name)
    return found


def weather(folder: Path, **more: Any) -> FunctionTool:
    file = folder / "own.py"
    file.write_text(TOOLS)
    return FunctionTool(
        name="weather", function="weather", file=str(file), folder=str(folder), **more
    )
