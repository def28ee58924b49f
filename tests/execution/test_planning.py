"""plan_execution: files, tasks, caches, estimates, fallbacks; and what is wrong with a plan."""

import os
from pathlib import Path
from typing import Any

import pytest

from client.execution import (
    APICall,
    CachePlan,
    CacheRef,
    ConversationPart,
    ExecutionOptions,
    ExecutionPlan,
    FileInlinePart,
    FilePlaceholder,
    FileRefPart,
    OptionsError,
    SourceError,
    TextPart,
    TokenEstimate,
    UploadTask,
    describe_file,
    plan_execution,
)
from contracts.messages import Message

pytestmark = pytest.mark.unit

ASK = ["Sum up", "List the risks"]


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    file = tmp_path / "paper.pdf"
    file.write_bytes(b"%PDF" + os.urandom(60_000))
    return file


def test_sources_prompts_and_options_become_a_plan(paper: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("Short notes.")
    plan = plan_execution(
        [paper, str(notes), TextPart(text="As it is."), "https://example.org/a.png"],
        ASK,
        {"model": "m", "system": "Be brief.", "max_tokens": 50},
        cache=True,
        fallback_model="other",
        fallback_provider="elsewhere",
    )
    assert plan.shared_parts == (
        FilePlaceholder(index=0),
        TextPart(text="notes.md:\nShort notes."),
        TextPart(text="As it is."),
        FileRefPart(uri="https://example.org/a.png", mime_type="image/png"),
    )
    assert plan.files[0].size_bytes == paper.stat().st_size
    assert plan.upload_tasks == (UploadTask(part_index=0, call=None, required=False),)
    assert [call.parts for call in plan.calls] == [(TextPart(text=text),) for text in ASK]
    assert {call.settings.system for call in plan.calls} == {"Be brief."}
    assert plan.cache == CachePlan()
    estimate = plan.token_estimate
    assert estimate is not None
    assert estimate.confidence < 0.85
    fallback = plan.fallback
    assert fallback is not None
    assert (fallback.model, fallback.provider, fallback.cache) == ("other", "elsewhere", None)
    assert fallback.shared_parts == plan.shared_parts


def test_uploads_required_and_never(paper: Path) -> None:
    required = plan_execution([paper], "Hi", model="m", uploads="required")
    assert [task.required for task in required.upload_tasks] == [True]
    never = plan_execution([paper], "Hi", model="m", uploads="never")
    assert (never.upload_tasks, never.stages) == ((), ("kept", "cache"))


def test_the_same_file_has_one_number(paper: Path) -> None:
    plan = plan_execution([paper, paper], "Hi", model="m")
    assert plan.shared_parts == (FilePlaceholder(index=0),) * 2
    assert len(plan.files) == 1


def test_all_prompts_in_one_call() -> None:
    plan = plan_execution([], [*ASK, "Who?"], model="m", one_call=True)
    (call,) = plan.calls
    assert call.questions == 3
    (part,) = call.parts
    assert isinstance(part, TextPart)
    assert "3. Who?" in part.text


def test_history_is_a_part() -> None:
    history = (Message("user", "Hi"), Message("assistant", "Yes?"))
    plan = plan_execution([], "Go on", model="m", history=history)
    assert plan.calls[0].parts[0] == ConversationPart(messages=history)


@pytest.mark.parametrize("name", ["c-1", " c-1 ", "  ", None])
def test_B13_a_cache_name_or_a_blank(name: str | None) -> None:
    (call,) = plan_execution([], "Hi", model="m", cache_name=name).calls
    if name and name.strip():
        assert (call.cache_name, call.cache_application) == ("c-1", "override")
    else:
        assert (call.cache_name, call.cache_application) == (None, "none")


def test_an_estimate_of_text_is_sure_and_grows_with_it() -> None:
    short = plan_execution([], "a" * 400, model="m").token_estimate
    long = plan_execution([TextPart(text="b" * 40_000)], "a" * 400, model="m").token_estimate
    assert short is not None
    assert long is not None
    assert (short.min, short.expected, short.max) == (50, 100, 200)
    assert long.expected == 10_100
    assert long.confidence >= 0.85


# Bad input


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    def error(path: Path, **more: Any) -> str:
        with pytest.raises(SourceError) as caught:
            plan_execution([path], "Hi", model="m", **more)
        assert path.name in str(caught.value)
        return str(caught.value)

    assert "does not exist" in error(tmp_path / "none.pdf")
    assert "is a folder" in error(tmp_path)
    (tmp_path / "empty.txt").touch()
    assert "is empty" in error(tmp_path / "empty.txt")
    circle = tmp_path / "circle.txt"
    circle.symlink_to(circle)
    error(circle)
    locked = tmp_path / "locked.txt"
    locked.write_text("x")
    locked.chmod(0)
    if not os.access(locked, os.R_OK):
        assert "cannot be read: Permission denied" in error(locked)


def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("s")
    (tmp_path / "root-evil").mkdir()
    (tmp_path / "root-evil" / "x.txt").write_text("x")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "fine.txt").write_text("f")
    for path in (
        root / ".." / "secret.txt",
        root / "link.txt",
        tmp_path / "root-evil" / "x.txt",
    ):
        with pytest.raises(SourceError, match="is outside of"):
            plan_execution([path], "Hi", model="m", root=root)
    assert describe_file(root / "fine.txt", root).name == "fine.txt"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.md", b"x", "text/markdown"),
        ("a.png", b"x", "image/png"),
        ("Makefile", b"all:\n", "text/plain"),
        ("data", b"\xff\xfe\x00\x01" * 9, "application/octet-stream"),
        ("nul", b"a\0b", "application/octet-stream"),
        ("cut", "é".encode() * 40_000, "text/plain"),
    ],
)
def test_types_of_files(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert describe_file(tmp_path / name).mime_type == expected


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "model"),
        ({"model": "m", "temprature": 1}, "temprature"),
        ({"model": "m", "temperature": 9}, "temperature"),
        ({"model": "m", "uploads": "maybe"}, "uploads"),
        ({"model": "m", "timeout": 0}, "timeout"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(OptionsError, match=named):
        plan_execution([], "Hi", options)


@pytest.mark.parametrize("prompts", [[], "", ["a", "  "]])
def test_there_has_to_be_a_prompt(prompts: Any) -> None:
    with pytest.raises(ValueError, match="prompt"):
        plan_execution([], prompts, model="m")


def test_options_as_a_value_and_keywords_on_top() -> None:
    options = ExecutionOptions(model="m", timeout=5)
    plan = plan_execution([], "Hi", options, seed=3)
    assert (plan.model, plan.timeout, plan.calls[0].settings.seed) == ("m", 5, 3)


CALL = APICall(model="m", parts=(TextPart(text="Hi"),))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ExecutionPlan(calls=()), ValueError, "at least one call"),
        (lambda: ExecutionPlan(calls=(CALL, APICall(model="n"))), ValueError, "one model"),
        (lambda: APICall(model="m", cache_name="c"), ValueError, "application"),
        (lambda: CacheRef(name="c", application="none"), ValueError, "application"),
        (lambda: ExecutionPlan(calls=[CALL]), TypeError, "calls must be a tuple"),  # type: ignore[arg-type]
        (lambda: APICall(model="m", parts=[]), TypeError, "parts must be a tuple"),  # type: ignore[arg-type]
        (lambda: TokenEstimate(min=5, expected=1, max=9), ValueError, "min <= expected"),
        (
            lambda: ExecutionPlan(
                calls=(CALL,),
                fallback=ExecutionPlan(calls=(CALL,), fallback=ExecutionPlan(calls=(CALL,))),
            ),
            ValueError,
            "no fallback of its own",
        ),
        (
            lambda: ExecutionPlan(calls=(CALL,), shared_parts=(FilePlaceholder(index=1),)),
            ValueError,
            "file 1",
        ),
    ],
)
def test_B23_plans_that_cannot_be(make: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_a_plan_survives_its_way_as_json(paper: Path) -> None:
    parts = (
        FileInlinePart(data=b"\xff\x00", mime_type="x/y"),
        ConversationPart(messages=(Message("user", "Hi"),)),
    )
    plan = plan_execution([paper, *parts], ASK, model="m", cache=True, fallback_model="n")
    assert ExecutionPlan.model_validate_json(plan.model_dump_json()) == plan


def test_values_are_frozen() -> None:
    plan = ExecutionPlan(calls=(CALL,))
    with pytest.raises(ValueError, match="frozen"):
        plan.calls = ()  # type: ignore[misc]
