"""`starter.py approve RUN|CHAT [AGENT|CALL] [CHOICE]`: which question is meant, and the answer."""

from datetime import UTC, datetime

import pytest

from client.cli.chats_shown import answered_call
from client.cli.commanding import YES, answered
from client.cli.console import Refusal
from contracts.runs import Question

pytestmark = pytest.mark.unit


def question(step: str, *choices: str) -> Question:
    at = datetime(2026, 11, 21, tzinfo=UTC)
    return Question(step=step, ask="Well?", choices=choices or ("approve", "reject"), asked_at=at)


def test_the_only_question_need_not_be_named() -> None:
    asked = [question("ok", "go", "stop")]
    assert answered(asked, "r", None, YES) == ("ok", YES)
    assert answered(asked, "r", "go", YES) == ("ok", "go")
    assert answered(asked, "r", "ok", "stop") == ("ok", "stop")


def test_what_is_no_choice_of_it_is_taken_for_an_agent() -> None:
    asked = [question("ok", "go", "stop")]
    assert answered(asked, "r", "perhaps", YES) == ("perhaps", YES)
    assert answered(asked, "r", "go", "stop") == ("go", "stop")


def test_an_agent_that_is_called_as_a_choice_is_the_agent() -> None:
    assert answered([question("go", "go", "stop")], "r", "go", YES) == ("go", YES)


def test_of_several_one_is_named() -> None:
    asked = [question("a", "go"), question("b", "go")]
    assert answered(asked, "r", "b", "go") == ("b", "go")
    with pytest.raises(Refusal, match="r asks a, b: name the step"):
        answered(asked, "r", None, "go")
    with pytest.raises(Refusal, match="r asks nothing"):
        answered([], "r", None, "go")


def test_an_items_question_is_found_by_its_agent_where_it_is_the_only_one() -> None:
    asked = [question("each[1].2"), question("each[4].1")]
    with pytest.raises(Refusal, match=r"each asks each\[1\].2, each\[4\].1"):
        answered(asked, "r", "each", YES)


def test_the_only_call_of_a_conversation_need_not_be_named() -> None:
    assert answered_call(["t1.1.1"], "c", None, YES) == ("t1.1.1", "approve")
    assert answered_call(["t1.1.1"], "c", "reject", YES) == ("t1.1.1", "reject")
    assert answered_call(["t1.1.1"], "c", "t1.1.1", "reject") == ("t1.1.1", "reject")
    with pytest.raises(Refusal, match=r"c asks t1.1.1, t1.1.2: name the call"):
        answered_call(["t1.1.1", "t1.1.2"], "c", "reject", YES)
    with pytest.raises(Refusal, match="no tool call of c waits"):
        answered_call([], "c", None, YES)
    with pytest.raises(Refusal, match="takes approve or reject"):
        answered_call(["t1.1.1"], "c", "t1.1.1", "perhaps")
