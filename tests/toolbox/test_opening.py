"""The tools that a worker keeps open, and the words for their failures."""

import os
from pathlib import Path

import pytest

from contracts.tools import BuiltinTool, FunctionTool, PromptTool, ToolError, ToolSpec
from toolbox import exceptions, opening
from toolbox.builtin import BuiltinTools
from toolbox.environment import Redactor, filled, secrets, usual
from toolbox.exceptions import ToolUnavailable
from toolbox.opening import OpenTools, open_tools

pytestmark = pytest.mark.unit


def reading(root: str) -> ToolSpec:
    return BuiltinTool(name="r", builtin="read_file", root=root)


def test_every_failure_has_a_kind_that_the_contracts_know() -> None:
    classes = [
        value
        for value in vars(exceptions).values()
        if isinstance(value, type) and issubclass(value, exceptions.ToolFailure)
    ]
    assert {ToolError(each.kind) for each in classes} == {
        ToolError.RAISED,
        ToolError.INVALID_ARGUMENTS,
        ToolError.DIED,
        ToolError.UNAVAILABLE,
        ToolError.REFUSED,
    }


async def test_equal_declarations_are_shared_and_others_are_not(tmp_path: Path) -> None:
    opened = OpenTools({})
    async with opened.borrow(reading("/a")) as one, opened.borrow(reading("/a")) as same:
        assert one is same
        async with opened.borrow(reading("/b")) as other:
            assert other is not one
    async with opened.borrow(reading("/a")) as again:
        assert again is one
    await opened.aclose()


async def test_the_longest_unused_are_closed_and_those_in_use_are_not() -> None:
    opened = OpenTools({})
    async with opened.borrow(reading("/kept")) as kept:
        for number in range(opening.KEPT + 5):
            async with opened.borrow(reading(f"/{number}")):
                pass
        assert len(opened._open) <= opening.KEPT
        async with opened.borrow(reading("/kept")) as same:
            assert same is kept
        async with opened.borrow(reading(f"/{opening.KEPT + 4}")) as last:
            assert isinstance(last, BuiltinTools)
    await opened.aclose()


def test_what_a_worker_does_not_run_is_refused() -> None:
    with pytest.raises(ToolUnavailable):
        open_tools(PromptTool(name="p", prompt="x"), {})
    assert open_tools(FunctionTool(name="f", function="f", module="m"), os.environ)


def test_the_environment_of_a_tool() -> None:
    env = {"PATH": "/bin", "LC_ALL": "C", "https_proxy": "p", "OPENAI_API_KEY": "k", "MY_PATH": "x",
           "AWS_SECRET_ACCESS_KEY": "s", "CALLBOARD_HOME": "h"}  # fmt: skip
    assert set(usual(env)) == {"PATH", "LC_ALL", "https_proxy"}
    assert secrets(("OPENAI_API_KEY",), env) == {"OPENAI_API_KEY": "k"}
    with pytest.raises(ToolUnavailable, match="no NOT_SET, EMPTY:"):
        secrets(("NOT_SET", "PATH", "EMPTY"), {**env, "EMPTY": ""})


def test_secrets_are_filled_in_and_taken_out() -> None:
    assert filled("Bearer {TOKEN} {OTHER}", {"TOKEN": "abc"}) == "Bearer abc {OTHER}"
    redactor = Redactor(["secret-1", "secret-12", "", "abc"])
    assert redactor.text("a secret-12 and secret-1, abc") == "a [secret] and [secret], abc"
