"""How bytes can be laid out: each framing around one answer, for all four APIs."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tests.wire.hostile.stream import Counts, Hostile
from tests.wire.streams import COMPLETION_TOKENS, DIALECTS, PROMPT_TOKENS

PIECES = ("fa", "mily: 👨\u200d", "👩\u200d👧", ", flag: 🇳", "🇴, ȩ́ and \u2028 and \u0085 \\n", "")
TEXT = "".join(PIECES)


@dataclass(frozen=True)
class _Event:
    """An event's name and JSON."""

    name: str
    data: str


def _parts(api: str) -> list[_Event]:
    found = []
    for event in DIALECTS[api].answer(PIECES).events:
        lines = event.decode().split("\n")
        names = [line[7:] for line in lines if line.startswith("event: ")]
        data = "\n".join(line[6:] for line in lines if line.startswith("data: "))
        found.append(_Event("".join(names), data))
    return found


def _plain(event: _Event) -> str:
    name = f"event: {event.name}\n" if event.name else ""
    return f"{name}data: {event.data}\n\n"


def _pretty(event: _Event) -> str:
    """JSON over several lines, each a `data:` line of the same event."""
    if event.data == "[DONE]":
        return _plain(event)
    lines = json.dumps(json.loads(event.data), indent=2, ensure_ascii=False).split("\n")
    return "".join(f"data: {line}\n" for line in lines) + "\n"


def _ascii(event: _Event) -> str:
    if event.data == "[DONE]":
        return _plain(event)
    return f"data: {json.dumps(json.loads(event.data))}\n\n"


def _numbered(event: _Event) -> str:
    return f"id: 7\nretry: 3000\n{_plain(event)[:-1]}id: 8\nunknown: field\n\n"


def _pinged(event: _Event) -> str:
    return f"event: ping\ndata: not JSON at all\n\n: comment\n\nevent: nothing\n\n{_plain(event)}"


def _tight(event: _Event) -> str:
    return f"data:{event.data}\nevent:{event.name}\n\n" if event.name else f"data:{event.data}\n\n"


def _whole(render: Callable[[_Event], str], ends: str = "\n") -> Callable[[str], Iterable[bytes]]:
    def make(api: str) -> Iterable[bytes]:
        return [render(event).replace("\n", ends).encode() for event in _parts(api)]

    return make


def _blank_lines(api: str) -> Iterable[bytes]:
    return [b"\n\n\n", *_whole(_plain)(api), b"\n\n"]


_WAYS: dict[str, Callable[[str], Iterable[bytes]]] = {
    "characters of several code points": _whole(_plain),
    "JSON over several lines": _whole(_pretty),
    "JSON in ASCII": _whole(_ascii),
    "ids and retry times": _whole(_numbered),
    "pings that are no JSON": _whole(_pinged),
    "no spaces, the name last": _whole(_tight),
    "CR alone, several lines": _whole(_pretty, "\r"),
    "CRLF, ids and retry times": _whole(_numbered, "\r\n"),
    "byte order mark and CRLF": lambda api: [b"\xef\xbb\xbf", *_whole(_plain, "\r\n")(api)],
    "blank lines all around": _blank_lines,
}

FRAMING: tuple[Hostile, ...] = tuple(
    Hostile(
        api,
        name,
        tuple(make(api)),
        text=TEXT,
        usage=Counts(PROMPT_TOKENS, COMPLETION_TOKENS),
        marked=False,
    )
    for name, make in _WAYS.items()
    for api in DIALECTS
)
