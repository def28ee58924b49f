"""Faults on demand: each fails as a real provider does, for whom it is meant, and is billed so."""

import asyncio
import json

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.failures import FailureKind
from contracts.messages import ChatChunk, ChatRequest, Message
from providers import exceptions as errors
from providers import registry, tokens
from providers.exceptions import ProviderError, RouterError, StreamInterrupted, TimeoutError
from providers.simulated import Fault, SimulatedClient, Simulation
from providers.spi import ChatStream, Timeouts

pytestmark = pytest.mark.unit

TEXT = "Summarize.\n\n" + " ".join(f"Point {n} says that item {n} is late." for n in range(30))


def request(agent: str = "memo", attempt: int = 1, run: str = "run-1", **fields) -> ChatRequest:
    labels = {"run": run, "agent": agent, "attempt": str(attempt)}
    return ChatRequest([Message("user", TEXT)], metadata=labels, **fields)


def client(*faults: Fault | dict, **options) -> SimulatedClient:
    return SimulatedClient(tokens_per_second=0, faults=faults, **options)


async def failure(simulated: SimulatedClient, req: ChatRequest) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        await simulated.chat(req)
    return raised.value


async def read(stream: ChatStream) -> tuple[list[ChatChunk], ProviderError]:
    """Return what came before the error that ends a stream, and the error."""
    chunks: list[ChatChunk] = []
    try:
        while True:
            chunks.append(await anext(stream))
    except ProviderError as error:
        return chunks, error


ERRORS = [
    ("refuse", errors.ContentRefused, False, 200),
    ("rate_limit", errors.RateLimited, True, 429),
    ("overloaded", errors.Overloaded, True, 529),
    ("server_error", errors.ServerFailed, True, 500),
    ("unreachable", errors.Unreachable, True, None),
    ("auth", errors.AuthenticationFailed, False, 401),
    ("invalid_request", errors.InvalidRequest, False, 400),
    ("context_too_long", errors.ContextTooLong, False, 400),
    ("model_not_found", errors.ModelNotFound, False, 404),
]


@pytest.mark.parametrize(("kind", "error", "retryable", "status"), ERRORS)
async def test_A11_errors_before_the_answer(kind, error, retryable, status):
    chunks, raised = await read(client(Fault(kind=kind)).chat(request()))
    assert chunks == []
    assert type(raised) is error
    assert raised.retryable is retryable
    assert raised.status == status
    assert raised.kind in set(FailureKind)
    assert raised.provider == "simulated"
    assert "Point" not in str(raised)
    assert raised.sent is (kind != "unreachable")


@pytest.mark.parametrize("kind", [kind for kind, *_ in ERRORS if kind != "refuse"])
async def test_what_is_refused_at_the_door_is_not_billed(kind):
    error = await failure(client({"kind": kind}), request())
    assert error.usage is not None
    assert error.usage.total_tokens == 0
    assert error.usage_final


async def test_a_refusal_is_billed_for_the_prompt():
    simulated = client(Fault(kind="refuse"))
    error = await failure(simulated, request())
    assert error.usage is not None
    assert error.usage.prompt_tokens == await simulated.count_tokens(request())
    assert error.usage_final


@pytest.mark.parametrize("kind", ["refuse", "overloaded", "server_error", "rate_limit"])
async def test_errors_in_mid_answer_carry_what_was_seen(kind):
    error = await failure(client(Fault(kind=kind, after_words=5)), request())
    assert len(error.partial_text.split()) == 5
    assert error.usage is not None
    assert error.usage.completion_tokens >= 5
    assert error.usage_final is (kind == "refuse")


async def test_a_cut_stream_has_no_terminal_marker():
    stream = client(Fault(kind="cut", after_words=7)).chat(request())
    chunks, error = await read(stream)
    assert len(chunks) == 7
    assert all(chunk.finish_reason is None for chunk in chunks)
    assert type(error) is StreamInterrupted
    assert error.partial_text == stream.text
    assert error.usage is not None
    assert error.usage.estimated
    assert not error.usage_final
    assert error.retryable


@pytest.mark.parametrize(("after", "words"), [(0, 0), (None, "half"), (10**6, "all")])
async def test_a_cut_may_come_at_once_half_way_or_just_before_the_end(after, words):
    whole = (await client().chat(request())).text.split()
    error = await failure(client(Fault(kind="cut", after_words=after)), request())
    expected = {"half": len(whole) // 2, "all": len(whole)}.get(words, words)
    assert error.partial_text.split() == whole[:expected]


async def test_a_cut_answer_is_a_beginning_of_the_whole():
    whole = (await client().chat(request())).text
    error = await failure(client(Fault(kind="cut", attempt=1)), request())
    assert whole.startswith(error.partial_text)


async def test_retry_after_is_told():
    error = await failure(client(Fault(kind="rate_limit", retry_after=12.5)), request())
    assert error.retry_after == 12.5
    assert (await failure(client(Fault(kind="rate_limit")), request())).retry_after is None


@pytest.mark.parametrize(
    ("fault", "which"),
    [
        (Fault(kind="stall_first"), "first_token"),
        (Fault(kind="stall", after_words=3), "idle"),
        (Fault(kind="stall", after_words=10**6), "idle"),
    ],
)
async def test_A20_silence_runs_into_the_right_clock(fault, which):
    stream = client(fault).open(request(), Timeouts(first_token=0.05, idle=0.05, total=5))
    with pytest.raises(TimeoutError) as raised:
        await stream.collect()
    assert raised.value.which == which
    assert bool(raised.value.partial_text) is (which == "idle")


async def test_a_stall_that_ends_is_only_a_pause():
    whole = await client().chat(request())
    paused = await client(Fault(kind="stall", seconds=0.02)).chat(request())
    assert paused.text == whole.text
    late = await client(Fault(kind="stall_first", seconds=0.02)).chat(request())
    assert late.finish_reason == "stop"


async def test_slow_divides_the_pace():
    """Only from below: on a busy machine anything may take longer."""
    slow = Fault(kind="slow", factor=20)
    simulated = SimulatedClient(tokens_per_second=2000, first_token_s=0.001, faults=[slow])
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await simulated.chat(request(max_tokens=20))
    assert reply.usage is not None
    unhurried = 0.001 + (reply.usage.completion_tokens - 1) / 2000
    assert loop.time() - began > 0.9 * 20 * unhurried


async def test_usage_may_be_missing_from_a_whole_answer():
    reply = await client(Fault(kind="no_usage")).chat(request())
    assert reply.usage is None
    assert reply.finish_reason == "stop"
    assert reply.text


async def test_an_empty_answer_is_finished_and_billed():
    reply = await client(Fault(kind="empty")).chat(request())
    assert reply.text == ""
    assert reply.finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.prompt_tokens > 0


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": ["score"]},
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {"type": "string"},
        {},
    ],
)
async def test_wrong_json_does_not_fit(schema):
    reply = await client(Fault(kind="wrong_json")).chat(request(response_schema=schema))
    with pytest.raises((jsonschema.ValidationError, json.JSONDecodeError)):
        jsonschema.validate(json.loads(reply.text), schema)


# --- for whom


@pytest.mark.parametrize(
    ("fault", "hit", "missed"),
    [
        ({"agent": "memo"}, request(), request(agent="judge")),
        ({"agent": "me*"}, request(), request(agent="judge")),
        ({"attempt": 1}, request(), request(attempt=2)),
        ({"run": "run-*"}, request(), request(run="other")),
        ({"model": "gpt-*"}, request(model="gpt-x"), request(model="claude-x")),
        ({"agent": "memo", "attempt": 2}, request(attempt=2), request(attempt=1)),
    ],
)
async def test_a_fault_strikes_whom_it_is_for(fault, hit, missed):
    simulated = client({"kind": "overloaded", **fault})
    await failure(simulated, hit)
    assert (await simulated.chat(missed)).text


async def test_the_clients_own_model_is_matched_where_the_request_names_none():
    fault = Fault(kind="overloaded", model="gpt-4o")
    await failure(SimulatedClient("gpt-4o", tokens_per_second=0, faults=[fault]), request())
    assert await SimulatedClient("gpt-5", tokens_per_second=0, faults=[fault]).chat(request())


async def test_the_first_fault_that_applies_is_produced():
    simulated = client(
        Fault(kind="auth", agent="other"),
        Fault(kind="rate_limit", times=1),
        Fault(kind="overloaded"),
    )
    assert type(await failure(simulated, request(run="first"))) is errors.RateLimited
    assert type(await failure(simulated, request(run="first"))) is errors.Overloaded


async def test_times_count_per_run_over_all_clients():
    fault = Fault(kind="server_error", times=2)
    for _ in range(2):
        await failure(client(fault), request(run="counted"))
    assert (await client(fault).chat(request(run="counted"))).text
    await failure(client(fault), request(run="another"))


async def test_times_count_per_client_without_a_run():
    plain = ChatRequest([Message("user", TEXT)])
    for _ in range(2):
        simulated = client(Fault(kind="server_error", times=1))
        await failure(simulated, plain)
        assert (await simulated.chat(plain)).text


# --- settings


SETTINGS = """
seed: 7
tokens_per_second: 0
faults:
  - {kind: cut, agent: memo, attempt: 1, after_words: 4}
  - {kind: rate_limit, agent: judge, retry_after: 2, times: 1}
"""


async def test_settings_load_from_yaml_and_travel_as_options(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text(SETTINGS)
    simulation = Simulation.load(path)
    options = json.loads(json.dumps(simulation.options()))
    assert options["seed"] == 7
    made = registry.create("simulated", "gpt-4o-mini", options, env={})
    error = await failure(made, request())  # type: ignore[arg-type]
    assert len(error.partial_text.split()) == 4
    assert Simulation(**options) == simulation


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("faults:\n  - {kind: explode}\n", ":2: faults[0].kind: "),
        ("faults:\n  - kind: cut\n    whenever: 3\n", ":3: faults[0].whenever: unknown key"),
        ("speed: 3\n", ":1: speed: unknown key"),
        ("tokens_per_second: -1\n", ":1: tokens_per_second: "),
    ],
)
def test_wrong_settings_are_named_with_their_line(tmp_path, text, told):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(RouterError) as raised:
        Simulation.load(path)
    assert f"{path}{told}" in str(raised.value)


def test_wrong_options_are_named():
    with pytest.raises(RouterError, match=r"faults\.0\.kind"):
        client({"kind": "explode"})
    with pytest.raises(RouterError, match="speed"):
        registry.create("simulated", "m", {"speed": 3}, env={})


# --- the request log


async def test_the_log_has_one_line_per_request_received_before_its_answer(tmp_path):
    log = tmp_path / "requests.jsonl"
    faults = [Fault(kind="cut", attempt=1), Fault(kind="unreachable", attempt=2)]
    one, two = client(*faults, log=str(log)), client(*faults, log=str(log))
    await failure(one, request(attempt=1))
    await failure(two, request(attempt=2))
    stream = two.chat(request(attempt=3, model="gpt-x"))
    assert len(log.read_text().splitlines()) == 1, "nothing is sent before it is asked for"
    await anext(stream)
    await stream.aclose()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["attempt"] for line in lines] == ["1", "3"]
    assert [line["model"] for line in lines] == ["gpt-4o-mini", "gpt-x"]
    assert all(line["run"] == "run-1" and line["agent"] == "memo" for line in lines)
    assert "Point" not in log.read_text()


async def test_leaving_the_stream_ends_it():
    simulated = SimulatedClient(tokens_per_second=5)
    stream = simulated.chat(request())
    task = asyncio.create_task(stream.collect())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


@given(st.integers(0, 60), st.sampled_from(["cut", "overloaded", "refuse"]))
async def test_what_was_served_is_what_the_error_counts(after, kind):
    """The vendor's own count of what it served is never above what the error reports."""
    chunks, error = await read(client(Fault(kind=kind, after_words=after)).chat(request()))
    served = sum(tokens.count_tokens(chunk.delta_text or "") for chunk in chunks)
    assert error.usage is not None
    assert error.usage.completion_tokens == served
    if served:
        assert error.usage.prompt_tokens > 0
