"""ClaudeAgentClient over real pipes: what the program is asked, and what it answers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("claude_agent_sdk", reason="needs the extra: uv sync --extra claude")

from providers import registry
from providers.claude_agent import ClaudeAgentClient
from providers.claude_agent_environment import seems_signed_in
from providers.exceptions import (
    AuthenticationFailed,
    InvalidRequest,
    ProviderError,
    Unavailable,
)
from providers.spi import ChatRequest, Generation, Message, Timeouts, ToolDefinition
from tests.providers.fake_claude import (
    ANSWER,
    KEY,
    PROMPT,
    Make,
    connected,
    end,
    failed,
    is_gone,
    start,
    texts,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.usefixtures("own_places", "discreet_logs"),
]

ROOT = Path(__file__).parents[2]
HI = ChatRequest([Message("user", PROMPT)])
PATIENT = Timeouts(first_token=30, idle=30, total=30)
BEGUN = [start(), *texts("Hel", "lo")]


# An answer


async def test_an_answer(fake: Make, own_places: Path) -> None:
    program = fake()
    async with connected(program, model="claude-opus-4-8") as client:
        got = await client.chat(HI)
    assert (got.text, got.finish_reason, got.model) == ("Hello, wörld", "stop", "claude-sonnet-4-5")
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (12, 5)
    assert not got.usage.estimated
    assert got.response_id == "msg_1"
    assert is_gone(program.record["pid"])
    assert list(own_places.iterdir()) == []


async def test_text_comes_while_the_program_writes(fake: Make) -> None:
    program = fake(start(), *texts("Hel"), ("stall", None))
    async with connected(program) as client, client.open(HI, PATIENT) as stream:
        async for chunk in stream:
            if chunk.delta_text:
                break
        assert stream.text == "Hel"


async def test_what_the_program_is_started_with(fake: Make) -> None:
    program = fake()
    async with connected(program) as client:
        await client.chat(ChatRequest([Message("user", PROMPT)], system="Be brief.", max_tokens=9))
    seen = program.record
    assert {"--bare", "--no-session-persistence", "--model=claude-sonnet-5-5"} <= set(seen["argv"])
    assert seen["argv"][seen["argv"].index("--tools") + 1] == ""
    assert PROMPT not in str(seen["argv"])
    assert "Be brief" not in str(seen["argv"])
    assert KEY not in str(seen["argv"])
    assert seen["system"] == "Be brief."
    assert seen["files"] == []
    assert seen["environ"]["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] == "9"
    (told,) = program.told
    assert told["message"]["content"] == [{"type": "text", "text": PROMPT}]
    assert told["client_composed"] is True


async def test_the_program_inherits_no_secret(fake: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "NODE_OPTIONS"):
        monkeypatch.setenv(name, "a-secret")
    program = fake()
    async with connected(program) as client:
        await client.chat(HI)
    seen = program.record["environ"]
    assert "a-secret" not in seen.values()
    assert seen["ANTHROPIC_API_KEY"] == KEY
    assert "OPENAI_API_KEY" not in seen


async def test_A12_earlier_turns_keep_their_roles_and_order(fake: Make) -> None:
    program = fake()
    turns = [Message("user", "U1"), Message("assistant", "A1"), Message("user", "U2")]
    async with connected(program) as client:
        got = await client.chat(ChatRequest([Message("system", "S1"), *turns], system="S0"))
    assert got.text == "Hello, wörld"
    assert program.record["system"] == "S0\n\nS1"
    said = [(t["type"], t["message"]["content"][0]["text"]) for t in program.told]
    assert said == [("user", "U1"), ("assistant", "A1"), ("user", "U2")]
    assert [t.get("shouldQuery", True) for t in program.told] == [False, True, True]


async def test_the_requests_model_outranks_the_clients(fake: Make) -> None:
    program = fake()
    async with connected(program, model="claude-opus-4-8") as client:
        await client.chat(ChatRequest([Message("user", "Hi")], model="claude-haiku-4-5"))
    assert "--model=claude-haiku-4-5" in program.record["argv"]


async def test_what_was_left_out_is_told_with_the_answer(fake: Make) -> None:
    async with connected(fake()) as client:
        got = await client.chat(ChatRequest([Message("user", "Hi")], temperature=0.2))
    assert got.notes == ("temperature left out: Claude Code takes none",)


async def test_A18_stop_sequences_cut_the_text_and_end_the_program(fake: Make) -> None:
    program = fake(start(), *texts("one E", "ND", " two"), ("stall", None))
    async with connected(program) as client:
        got = await client.open(ChatRequest([Message("user", "Hi")], stop=["END"]), PATIENT)
    assert (got.text, got.finish_reason) == ("one ", "stop")
    assert got.usage is not None
    assert got.usage.estimated
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (12, 2)
    assert is_gone(program.record["pid"])


async def test_a_question_that_is_asked_again_is_not_answered_twice(fake: Make) -> None:
    program = fake(*BEGUN, *end("max_tokens"), start(99), *texts(" again"), *end())
    async with connected(program) as client:
        got = await client.chat(HI)
    assert (got.text, got.finish_reason) == ("Hello", "length")
    assert got.usage is not None
    assert got.usage.prompt_tokens == 12


async def test_a_refusal_is_an_answer(fake: Make) -> None:
    """The program keeps the stop reason to itself, and puts its own words in the model's place."""
    refused = {
        "type": "system",
        "subtype": "model_refusal_no_fallback",
        "api_refusal_category": "cyber",
        "api_refusal_explanation": "because",
    }
    used = {"claude-x": {"inputTokens": 12, "outputTokens": 3, "cacheReadInputTokens": 2}}
    acts = failed("Reached maximum budget", error="invalid_request", modelUsage=used)
    program = fake(*BEGUN, ("say", refused), *end(None), *acts)
    async with connected(program) as client:
        got = await client.chat(HI)
    assert (got.text, got.finish_reason) == ("Hello", "refusal")
    assert got.usage is not None
    assert (got.usage.prompt_tokens, got.usage.completion_tokens) == (14, 3)
    assert got.vendor_state is not None
    assert got.vendor_state["stop_details"]["category"] == "cyber"


async def test_a_huge_message_is_read(fake: Make) -> None:
    big = "x" * 3_000_000
    async with connected(fake(start(), *texts(big), *end())) as client:
        assert (await client.chat(HI)).text == big


async def test_lines_for_people_are_passed_over(fake: Make) -> None:
    program = fake(("raw", "[debug] hello\n\n"), *ANSWER, before=[("raw", "Welcome!\n")])
    async with connected(program) as client:
        assert (await client.chat(HI)).text == "Hello, wörld"


async def test_a_slow_start_is_awaited(fake: Make) -> None:
    async with connected(fake(before=[("wait", 0.5)])) as client:
        assert (await client.chat(HI)).text == "Hello, wörld"


# What is missing, and what is refused


async def test_A17_tools_are_refused_before_anything_starts(fake: Make) -> None:
    program = fake()
    async with connected(program) as client:
        with pytest.raises(InvalidRequest, match="tools") as caught:
            await client.chat(ChatRequest([Message("user", "Hi")], tools=[ToolDefinition("t")]))
    assert not caught.value.sent
    assert program.records == []


@pytest.mark.parametrize("version", ["2.1.247", "1.9.999", "unknown"])
async def test_a_program_that_would_read_files_is_refused(fake: Make, version: str) -> None:
    program = fake(version=version)
    async with connected(program) as client:
        with pytest.raises(Unavailable, match=r"2\.1\.248 is needed.*npm install"):
            await client.chat(HI)
    assert program.records == []


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"no-such-program.*pip install claude-agent-sdk"):
        ClaudeAgentClient(api_key=KEY, cli_path=tmp_path / "no-such-program")


async def test_a_program_that_cannot_be_run(tmp_path: Path) -> None:
    path = tmp_path / "claude"
    path.write_bytes(b"\x7fELF but not really")
    path.chmod(0o755)
    client = ClaudeAgentClient(api_key=KEY, cli_path=path)
    with pytest.raises(Unavailable, match="cannot be run") as caught:
        await client.chat(HI)
    assert not caught.value.sent


def test_A9_without_the_sdk_the_install_command_is_told() -> None:
    code = (
        "import sys; sys.modules['claude_agent_sdk'] = None\n"
        "from providers.claude_agent import ClaudeAgentClient\n"
        "from providers.exceptions import Unavailable\n"
        "try: ClaudeAgentClient()\n"
        "except Unavailable as error: print(error, error.sent)\n"
        "from providers import registry\n"
        "registry.warm(['claude_agent'])\n"
    )
    env = {**os.environ, "CLAUDE_CODE_OAUTH_TOKEN": "t"}
    said = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert "uv sync --extra claude, or pip install claude-agent-sdk" in said.stdout
    assert said.stdout.endswith("False\n")


def test_the_registry_finds_the_program_that_comes_with_the_sdk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert registry.availability("claude_agent").ok
    client = registry.create("claude_agent", "claude-haiku-5-5", {"processes": 2})
    assert isinstance(client, ClaudeAgentClient)
    assert client.model == "claude-haiku-5-5"


@pytest.mark.parametrize(
    ("env", "signed_in"),
    [
        ({"EP_ANTHROPIC_API_KEY": "k"}, True),
        ({"CLAUDE_CODE_OAUTH_TOKEN": "t"}, True),
        ({"EP_ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}, True),
        ({"ANTHROPIC_BASE_URL": "https://proxy.test", "OPENAI_API_KEY": "k"}, False),
        ({"HOME": "{home}"}, True),
        ({"HOME": "{home}/.claude"}, False),
        ({"HOME": "/nowhere", "CLAUDE_CONFIG_DIR": "{home}/.claude"}, True),
        ({}, False),
    ],
)
def test_a_worker_makes_ready_for_who_is_signed_in(
    env: dict[str, str], signed_in: bool, tmp_path: Path
) -> None:
    (tmp_path / ".claude").mkdir()
    there = {name: value.format(home=tmp_path) for name, value in env.items()}
    assert seems_signed_in(there) is signed_in


def test_the_sdk_is_imported_with_the_first_client_only() -> None:
    code = (
        "import sys, providers.claude_agent as a;"
        "assert 'claude_agent_sdk' not in sys.modules;"
        "a.ClaudeAgentClient(api_key='k');"
        "assert 'claude_agent_sdk' in sys.modules;"
        "assert not {'openai', 'anthropic', 'google.genai'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)


def test_capabilities_and_bad_values(fake: Make) -> None:
    assert isinstance(ClaudeAgentClient(api_key=KEY), Generation)
    with pytest.raises(ValueError, match="processes"):
        ClaudeAgentClient(api_key=KEY, processes=0)
    with pytest.raises(ValueError, match="base_url"):
        ClaudeAgentClient(api_key=KEY, base_url="not a url")
    with pytest.raises(AuthenticationFailed, match="white space") as caught:
        ClaudeAgentClient(api_key="two words")
    assert isinstance(caught.value, ProviderError)
    assert "two words" not in str(caught.value)
    assert KEY not in repr(vars(ClaudeAgentClient(api_key=KEY)))
