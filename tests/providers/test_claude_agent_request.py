"""What a request becomes for the Claude Code program, and what it is allowed to see. Pure."""

from pathlib import Path
from typing import Any

import pytest

from contracts.messages import ChatRequest, Message, ToolCall, ToolDefinition
from contracts.parts import FileRefPart, TextPart
from providers.claude_agent_environment import (
    Account,
    find_account,
    program_environment,
)
from providers.claude_agent_request import AgentRequest, agent_request
from providers.exceptions import InvalidRequest

pytestmark = pytest.mark.unit

HI = Message("user", "Hi")
FOLDER = Path("/private/folder")


def asked(*messages: Message, model: str = "claude-sonnet-4-5", **fields: Any) -> AgentRequest:
    return agent_request(ChatRequest(list(messages) or [HI], **fields), model)


def said(request: AgentRequest) -> list[tuple[str, str]]:
    return [
        (turn["role"], "|".join(block["text"] for block in turn["content"]))
        for turn in request.turns
    ]


def option(request: AgentRequest, name: str) -> str:
    return request.arguments[request.arguments.index(name) + 1]


def test_A12_roles_and_order_are_kept() -> None:
    request = asked(
        Message("system", "S1"),
        Message("user", "U1"),
        Message("assistant", "A1"),
        Message("user", "U2"),
        system="S0",
    )
    assert request.system == "S0\n\nS1"
    assert said(request) == [("user", "U1"), ("assistant", "A1"), ("user", "U2")]


def test_turns_of_one_role_are_one() -> None:
    assert said(asked(Message("user", "a"), Message("user", "b"))) == [("user", "a|b")]


def test_a_system_text_alone_is_the_question() -> None:
    request = asked(Message("system", "Do it."))
    assert (request.system, said(request)) == ("", [("user", "Do it.")])


def test_calls_of_another_vendor_become_text() -> None:
    call = ToolCall("c1", "fs.read", {"path": "a.txt"})
    request = asked(
        HI,
        Message("assistant", "Let me see.", tool_calls=(call,)),
        Message("tool", "the content", tool_call_id="c1"),
    )
    assert said(request) == [
        ("user", "Hi"),
        ("assistant", 'Let me see.\n[Called fs.read with {"path":"a.txt"}]'),
        ("user", "[Result of fs.read]\nthe content"),
    ]
    assert request.notes == ["earlier tool calls and their results were sent as text"]


def test_vendor_state_stays_behind() -> None:
    state = {"vendor": "anthropic", "content": [{"type": "text", "text": "A"}]}
    request = asked(HI, Message("assistant", "A", vendor_state=state), HI)
    assert said(request)[1] == ("assistant", "A")


def test_text_parts_are_text() -> None:
    request = asked(Message("user", "Sum up.", parts=(TextPart(text="the document"),)))
    assert said(request) == [("user", "the document\nSum up.")]


@pytest.mark.parametrize(
    ("name", "fields", "messages"),
    [
        ("tools", {"tools": [ToolDefinition("t")]}, ()),
        ("response_schema", {"response_schema": {"type": "object"}}, ()),
        ("json_mode", {"json_mode": True}, ()),
        (
            "parts",
            {},
            (
                Message(
                    "user", "x", parts=(FileRefPart(uri="https://h/a.png", mime_type="image/png"),)
                ),
            ),
        ),
        ("messages", {}, (HI, Message("assistant", "And so"))),
    ],
)
def test_A17_what_the_program_cannot_do_is_refused_by_name(
    name: str, fields: Any, messages: tuple[Message, ...]
) -> None:
    with pytest.raises(InvalidRequest, match=f"claude_agent: {name}: ") as caught:
        asked(*messages, **fields)
    assert not caught.value.sent
    assert caught.value.provider == "claude_agent"


def test_what_is_left_out_is_told() -> None:
    request = asked(temperature=0.2, top_p=0.9, seed=1, metadata={"user_id": "u", "run": "r"})
    assert request.notes == [
        "temperature and top_p and seed and user_id left out: Claude Code takes none"
    ]


def test_A18_stop_sequences_are_left_to_the_reader() -> None:
    assert asked(stop=["END"]).stops == ("END",)


def test_max_tokens_always_has_a_bound() -> None:
    assert asked().environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "4096"
    assert asked(max_tokens=9).environment["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "9"


def test_prompt_caching_is_paid_for_only_where_it_is_wanted() -> None:
    assert asked().environment["DISABLE_PROMPT_CACHING"] == "1"
    assert "DISABLE_PROMPT_CACHING" not in asked(cache_key="k").environment


def test_no_thinking_unless_asked_for() -> None:
    request = asked(model="claude-sonnet-5-5")
    assert request.environment["CLAUDE_CODE_DISABLE_THINKING"] == "1"
    assert request.environment["CLAUDE_CODE_EFFORT_LEVEL"] == "unset"
    assert "--effort" not in request.arguments


def test_thinking_by_effort_and_by_budget() -> None:
    adaptive = asked(model="claude-sonnet-5-5", reasoning_effort="high")
    assert (option(adaptive, "--thinking"), option(adaptive, "--effort")) == ("adaptive", "high")
    assert "CLAUDE_CODE_DISABLE_THINKING" not in adaptive.environment
    budget = asked(thinking_budget=2000, max_tokens=5000)
    assert option(budget, "--max-thinking-tokens") == "2000"


def test_a_models_name_cannot_be_a_flag() -> None:
    request = asked(model="--mcp-config=/etc/x")
    assert "--model=--mcp-config=/etc/x" in request.arguments


def test_no_text_of_the_request_is_an_argument() -> None:
    request = asked(Message("user", "secret question"), system="secret system")
    assert "secret" not in " ".join(request.arguments)


# The environment


SECRETS = {
    "OPENAI_API_KEY": "sk-openai",
    "EP_ANTHROPIC_API_KEY": "sk-ep",
    "ANTHROPIC_AUTH_TOKEN": "token",
    "AWS_SECRET_ACCESS_KEY": "aws",
    "DATABASE_URL": "postgres://u:p@h",
    "CLAUDE_CODE_EXTRA_BODY": "{}",
    "NODE_OPTIONS": "--require /x",
    "HOME": "/home/somebody",
    "PATH": "/usr/bin",
    "HTTPS_PROXY": "http://proxy:1",
}


def test_the_program_sees_its_own_key_and_nothing_else() -> None:
    found = program_environment(Account(key="k"), FOLDER, SECRETS)
    assert found["ANTHROPIC_API_KEY"] == "k"
    assert found["PATH"] == "/usr/bin"
    assert found["HTTPS_PROXY"] == "http://proxy:1"
    assert found["HOME"] == found["TMPDIR"] == str(FOLDER)
    assert found["CLAUDE_CONFIG_DIR"] == str(FOLDER / "config")
    hidden = {*SECRETS.values()} - {"/usr/bin", "http://proxy:1"}
    assert not hidden & set(found.values())
    assert not {"NODE_OPTIONS", "CLAUDE_CODE_EXTRA_BODY"} & set(found)


def test_a_server_on_this_machine_is_reached_directly() -> None:
    account = Account(key="k", url="http://127.0.0.1:8000")
    found = program_environment(account, FOLDER, SECRETS)
    assert "HTTPS_PROXY" not in found
    assert found["ANTHROPIC_BASE_URL"] == account.url


def test_a_token_comes_without_the_users_folder() -> None:
    found = program_environment(Account(token="t"), FOLDER, SECRETS)
    assert (found["CLAUDE_CODE_OAUTH_TOKEN"], found["HOME"]) == ("t", str(FOLDER))
    assert "ANTHROPIC_API_KEY" not in found


def test_without_a_key_it_is_the_users_own_login() -> None:
    found = program_environment(Account(), FOLDER, SECRETS)
    assert found["HOME"] == "/home/somebody"
    assert "CLAUDE_CONFIG_DIR" not in found
    assert Account().arguments == ()
    assert Account(key="k").arguments == ("--bare",)


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, (None, None)),
        ({"ANTHROPIC_API_KEY": "own", "EP_ANTHROPIC_API_KEY": "ep"}, ("ep", None)),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "t"}, (None, "t")),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "t", "ANTHROPIC_API_KEY": "own"}, ("own", None)),
        ({"ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}, ("none", None)),
    ],
)
def test_A10_where_the_credential_comes_from(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], expected: tuple[str | None, str | None]
) -> None:
    for name in ("EP_ANTHROPIC_API_KEY", "ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("EP_ANTHROPIC_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    account = find_account(None, None)
    assert (account.key, account.token) == expected


def test_no_repr_shows_a_credential() -> None:
    assert "kkkk" not in repr(Account(key="kkkk", token="tttt"))
    assert "tttt" not in repr(Account(key="kkkk", token="tttt"))
