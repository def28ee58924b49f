"""How a conversation is shown: whole blocks once, the growing one anew, nothing lost."""

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from client.chats import MoneyWanted
from client.cli.chat_screen import PlainScreen, RichScreen, blocks, figures
from client.cli.chat_turns import way_on
from client.cli.tool_lines import tool_line
from contracts.artifacts import ArtifactRef, Value
from contracts.chats import ChatView, PendingTool, TurnResult
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from contracts.tools import ToolEventRecord

pytestmark = pytest.mark.unit

NOW = datetime(2026, 1, 1, tzinfo=UTC)
texts = st.text(alphabet="ab \n`", max_size=60)


@given(texts, texts)
def test_a_whole_block_stays_as_it_is_when_text_is_added(text: str, added: str) -> None:
    before, _ = blocks(text)
    after, _ = blocks(text + added)
    assert after[: len(before)] == before


@given(texts)
def test_blocks_lose_nothing_but_empty_lines(text: str) -> None:
    whole, rest = blocks(text)
    kept = "".join([*whole, rest])
    assert "".join(kept.split()) == "".join(text.split())


def test_an_empty_line_within_code_ends_no_block() -> None:
    whole, rest = blocks("Look:\n\n```python\na = 1\n\nb = 2\n```\n\nThat is")
    assert whole == ["Look:\n", "```python\na = 1\n\nb = 2\n```\n"]
    assert rest == "That is"


def shown(*parts: tuple[str, int, str], end: str) -> str:
    stream = io.StringIO()
    screen = RichScreen(Console(file=stream, width=60, force_terminal=False))
    for unit, keep, added in parts:
        screen.text(unit, keep, added)
    screen.finish(end)
    return stream.getvalue()


def test_waiting_leaves_nothing_behind() -> None:
    stream = io.StringIO()
    screen = RichScreen(Console(file=stream, width=60, force_terminal=True))
    screen.wait()
    screen.wait()
    screen.note("a tool")
    screen.wait()
    screen.text("t1.1", 0, "One")
    screen.wait()
    screen.finish("One.")
    lines = [line for line in stream.getvalue().splitlines() if "a tool" in line]
    assert len(lines) == 1
    assert stream.getvalue().rstrip().endswith("One.")
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h")


def test_on_a_terminal_each_block_is_printed_once() -> None:
    text = shown(
        ("t1.1", 0, "One.\n\nTwo."), ("t1.1", 10, "\n\nThree."), end="One.\n\nTwo.\n\nThree."
    )
    assert [text.count(word) for word in ("One.", "Two.", "Three.")] == [1, 1, 1]


def test_on_a_terminal_an_answer_that_begins_anew_says_so() -> None:
    text = shown(("t1.1", 0, "One.\n\nTwo.\n\nThree"), ("t1.1", 0, "Other."), end="Other.")
    assert "begins anew" in text
    assert text.rstrip().endswith("Other.")


def test_in_a_pipe_stdout_has_the_text_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    screen = PlainScreen()
    screen.text("t1.1", 0, "Hello ")
    screen.note("a note")
    screen.text("t1.1", 6, "you\x1b[2J")
    screen.finish("Hello you\x1b[2J")
    out, err = capsys.readouterr()
    assert out == "Hello you[2J\n"
    assert err == "a note\n"


def test_in_a_pipe_no_word_of_an_attempt_that_broke_off_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    screen = PlainScreen()
    screen.text("t1.1", 0, "The first try")
    screen.text("t1.1", 4, "second one.")
    screen.finish("The second one.")
    assert capsys.readouterr().out == "The second one.\n"


@pytest.mark.parametrize(
    ("event", "data", "line"),
    [
        ("started", {"parameters": {"a": 1}}, "→ look {'a': 1}"),
        ("progress", {"message": "half"}, "  look: half"),
        ("progress", {}, None),
        ("completed", {"execution_time": 0.25, "result": "seen"}, "✓ look 0.2s seen"),
        ("failed", {"execution_time": 1.0, "error": "no"}, "✗ look 1.0s: no"),
    ],
)
def test_a_tools_event_is_a_line(event: str, data: dict[str, object], line: str | None) -> None:
    told = ToolEventRecord.model_validate(
        {"event": event, "tool": "look", "call_id": "t1.1.1", "at": NOW, "data": data}
    )
    record = SpoolRecord(kind="tool", agent="t1.1/t1.1.1", attempt=1, seq=0, tool=told)
    assert tool_line(record, verbose=True) == line


@pytest.mark.parametrize(("cost", "said"), [("0.0042", "$0.0042"), ("0.000007", "$0.000007")])
def test_the_line_of_figures(cost: str, said: str) -> None:
    view = ChatView(
        chat_id="c", agent="a", phase="active", messages=3, max_messages=50,
        plan=ArtifactRef(sha256="0" * 64, size_bytes=0), cost=Decimal(cost), budget=Decimal(1),
    )  # fmt: skip
    result = TurnResult(
        turn=3,
        status=AgentStatus.COMPLETED,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=1.23),
    )
    assert figures(view, result) == f"[3/50 | 1.2s | {said}]"


def test_what_waits_for_a_person_names_the_command_that_goes_on() -> None:
    call = PendingTool(
        call_id="t2.1.1", turn=2, name="book", arguments=Value(preview="{}"), asked_at=NOW
    )
    assert way_on("c-1", call).endswith("starter.py approve c-1 t2.1.1 approve|reject")
    assert way_on("c-1", MoneyWanted("…")).endswith("starter.py budget c-1 --raise DOLLARS")
