"""A program that speaks the Claude Agent SDK's protocol over its pipes and does as it is told.

`FakeClaude` writes it into a folder, with the acts that follow the question: `say` a message,
`raw` text, `wait` seconds, `stall`, `exit` with a code, `die` by a signal. What it was started
with and told it keeps in `record.json`, since nothing else comes through to a test.
"""

import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from providers.claude_agent import ClaudeAgentClient

KEY = "sk-ant-test-0123456789"
PROMPT = "What is the secret number of the lighthouse keeper's daughter?"

PROGRAM = r"""
import json, os, signal, sys, time
here = os.path.dirname(os.path.abspath(__file__))
told = json.load(open(os.path.join(here, "acts.json")))
if sys.argv[1:] == ["--version"]:
    print(told["version"] + " (Claude Code)")
    sys.exit(0)
def option(name):
    return sys.argv[sys.argv.index(name) + 1]
record = {"pid": os.getpid(), "argv": sys.argv[1:], "environ": dict(os.environ), "lines": [],
          "cwd": os.getcwd(), "files": os.listdir("."),
          "system": open(option("--system-prompt-file"), encoding="utf-8").read()}
def keep():
    path = os.path.join(here, "record-%d.json" % os.getpid())
    with open(path + ".new", "w") as file:
        json.dump(record, file)
    os.replace(path + ".new", path)
def say(message):
    os.write(1, (json.dumps(message) + "\n").encode())
def act(name, value):
    if name == "say":
        say(value)
    elif name == "raw":
        data = value.encode()
        while data:
            data = data[os.write(1, data):]
    elif name == "flood":
        for _ in range(value):
            os.write(1, b"x" * 65536)
    elif name == "complain":
        os.write(2, value.encode())
    elif name == "wait":
        time.sleep(value)
    elif name == "stall":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
    elif name == "exit":
        os._exit(value)
    elif name == "die":
        os.kill(os.getpid(), value)
keep()
for name, value in told["before"]:
    act(name, value)
for line in sys.stdin:
    message = json.loads(line)
    record["lines"].append(message)
    keep()
    if message["type"] == "control_request":
        say({"type": "control_response", "response": {"subtype": "success",
             "request_id": message["request_id"], "response": {}}})
    elif message.get("shouldQuery") is False:
        say(told["noted"])
    elif message["type"] == "user":
        for name, value in told["acts"]:
            act(name, value)
"""


def result(**fields: Any) -> dict[str, Any]:
    """A result message; an ordinary one unless fields say otherwise."""
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "duration_ms": 1,
        "duration_api_ms": 1,
        "num_turns": 1,
        "session_id": "s",
        **fields,
    }


def failed(
    text: str, status: int | None = None, error: str = "unknown", **fields: Any
) -> list[Any]:
    """The two messages in which the program tells of an error."""
    message = {
        "role": "assistant",
        "model": "<synthetic>",
        "content": [{"type": "text", "text": text}],
    }
    return [
        ("say", {"type": "assistant", "message": message, "error": error, "session_id": "s"}),
        (
            "say",
            result(is_error=True, result=text, api_error_status=status, **fields),
        ),
    ]


def event(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """One of the API's raw events, as the program passes it on."""
    return "say", {"type": "stream_event", "event": body, "uuid": "u", "session_id": "s"}


def start(tokens: int = 12) -> tuple[str, dict[str, Any]]:
    """The beginning of an answer."""
    message = {
        "id": "msg_1",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": tokens, "output_tokens": 1},
    }
    return event({"type": "message_start", "message": message})


def texts(*pieces: str) -> list[Any]:
    """A block of text in pieces."""
    block = {"type": "text", "text": ""}
    deltas = [
        event(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": p}}
        )
        for p in pieces
    ]
    return [
        event({"type": "content_block_start", "index": 0, "content_block": block}),
        *deltas,
    ]


def end(reason: str | None = "end_turn", tokens: int = 5) -> list[Any]:
    """The end of an answer; the program makes one up, without a reason, for a broken stream."""
    delta = {"stop_reason": reason}
    return [
        event({"type": "content_block_stop", "index": 0}),
        event({"type": "message_delta", "delta": delta, "usage": {"output_tokens": tokens}}),
        event({"type": "message_stop"}),
    ]


ANSWER = [start(), *texts("Hel", "lo, ", "wörld"), *end(), ("say", result(result="Hello, wörld"))]


class FakeClaude:
    """The program in a folder of its own."""

    def __init__(
        self,
        folder: Path,
        acts: list[Any] | None = None,
        before: list[Any] | None = None,
        noted: dict[str, Any] | None = None,
        version: str = "2.1.329",
    ) -> None:
        self.folder = folder
        self.path = folder / "claude"
        self.path.write_text(f"#!{sys.executable} -IS\n{PROGRAM}", encoding="utf-8")
        self.path.chmod(0o755)
        told = {
            "acts": ANSWER if acts is None else acts,
            "before": before or [],
            "noted": noted or result(num_turns=0),
            "version": version,
        }
        (folder / "acts.json").write_text(json.dumps(told), encoding="utf-8")

    @property
    def records(self) -> list[dict[str, Any]]:
        """What each run was started with and told."""
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("record-*.json"))]

    @property
    def record(self) -> dict[str, Any]:
        """The only run's."""
        (found,) = self.records
        return found

    @property
    def told(self) -> list[dict[str, Any]]:
        """The turns that it was given, the SDK's greeting apart."""
        return [line for line in self.record["lines"] if line["type"] != "control_request"]


Make = Callable[..., FakeClaude]
"""From acts and options of `FakeClaude` to one."""


@contextlib.asynccontextmanager
async def connected(program: FakeClaude, **options: Any) -> AsyncIterator[ClaudeAgentClient]:
    """A client of the program."""
    options.setdefault("api_key", KEY)
    client = ClaudeAgentClient(cli_path=program.path, **options)
    try:
        yield client
    finally:
        await client.aclose()


def is_gone(pid: int) -> bool:
    """Tell whether no such process runs any more."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rsplit(")", 1)[1].split()[0] in "ZX"
