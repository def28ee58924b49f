"""`ttl` of a shared context and Anthropic's hour: from the file to the wire, and to the bill."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from activities.attaching import with_shared
from client.cli.planned_sharing import shared_data, shared_lines
from client.planning import Planner
from config.teamfile import load_team
from contracts.brief import BriefUsage
from contracts.calls import SharedUse
from contracts.execution import CacheRef
from contracts.messages import ChatRequest, Message, Usage
from contracts.plans import Plan
from contracts.prices import Price, Rate
from contracts.teams import SharedContext, TeamSpec
from providers.anthropic_messages import usage_of
from providers.anthropic_profile import profile
from providers.anthropic_request import messages_body
from providers.pricing import PriceOverride, quote
from providers.router import PersonaRouter
from providers.simulated import SimulatedClient
from rules import planning, prices
from rules.estimates import estimate
from stores.artifacts import ArtifactStore

pytestmark = pytest.mark.unit

DAY = date(2026, 11, 21)
MODEL = "claude-sonnet-5-5"
SHORT, LONG = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
TEXT = "Bees make honey. " * 900


def loaded(folder: Path, shared: str) -> TeamSpec:
    (folder / "notes.md").write_text(TEXT)
    file = folder / "team.yaml"
    steps = [
        f"  - {{name: {name}, persona: architect, prompt_template: Go., "
        f"cost_limit: 9, shared_context: {uses}}}"
        for name, uses in (("a", "true"), ("b", "true"), ("c", "false"))
    ]
    file.write_text("\n".join(["name: t", f"shared_context: {shared}", "agents:", *steps]))
    return load_team(file, {}).team


def planned(team: TeamSpec, provider: str = "anthropic") -> Plan:
    keys = {f"{name}_API_KEY": "sk-x" for name in ("OPENAI", "ANTHROPIC", "GEMINI")}
    return Planner(PersonaRouter(env=keys), provider=provider, served={provider}).plan(team, {})


@pytest.mark.parametrize(
    ("shared", "lasts", "long"),
    [
        ("[notes.md]", None, False),
        ("{files: [notes.md], keep: true}", None, False),
        ("{files: [notes.md], ttl: 300}", 300, False),
        ("{files: [notes.md], ttl: 301}", 301, True),
        ("{files: [notes.md], ttl: 3600}", 3600, True),
    ],
)
def test_a_ttl_that_is_written_down_and_longer_than_five_minutes_asks_for_the_hour(
    tmp_path: Path, shared: str, lasts: float | None, long: bool
) -> None:
    team = loaded(tmp_path, shared)
    assert team.shared_context is not None
    assert team.shared_context.lasts == lasts
    made = planned(team)
    prices_of = {
        node.name: made.candidates[node.candidates[0]].price for node in planning.nodes(made)
    }
    assert (prices_of["a"].cache_write_1h is not None) == long
    assert prices_of["c"].cache_write_1h is None, "who shares nothing is reserved as ever"
    if long:
        assert prices_of["a"].cache_write_1h == Rate(base=2 * prices_of["a"].input.base)


@pytest.mark.parametrize("provider", ["openai", "gemini"])
def test_vendors_without_an_hour_cost_what_they_did(tmp_path: Path, provider: str) -> None:
    made = planned(loaded(tmp_path, "{files: [notes.md], ttl: 3600}"), provider)
    assert {one.price.cache_write_1h for one in made.candidates} == {None}


def test_the_break_even_is_that_of_the_dearer_writing(tmp_path: Path) -> None:
    plans = [planned(loaded(tmp_path, f"{{files: [notes.md], ttl: {ttl}}}")) for ttl in (300, 900)]
    short, long = (next(one for one in estimate(p, {}).shared if one.calls) for p in plans)
    assert (short.long, long.long) == (False, True)
    assert long.write == short.write * Decimal(2) / Decimal("1.25")
    assert long.pays_from > short.pays_from
    (_, line) = shared_lines(plans[1], estimate(plans[1], {}).shared)
    assert "cached with the requests that repeat it, for an hour from the last use on" in line
    assert shared_data((long,))[0]["long"] is True


PRICE = Price(
    model="m",
    input=Rate(base=Decimal(2)),
    output=Rate(base=Decimal(10)),
    cached_input=Rate(base=Decimal("0.1")),
    cache_write=Rate(base=Decimal("2.5")),
    source="tests",
    version="1",
)
LASTING = PRICE.model_copy(update={"cache_write_1h": Rate(base=Decimal(4))})


def test_what_was_written_for_an_hour_is_billed_at_its_own_rate() -> None:
    usage = Usage(
        10_000, 0, cached_tokens=1_000, cache_write_tokens=8_000, cache_write_1h_tokens=6_000
    )
    charged = {one.kind: (one.tokens, one.rate) for one in prices.charges(LASTING, usage)}
    assert charged == {
        "prompt": (1_000, Decimal(2)),
        "cached": (1_000, Decimal("0.1")),
        "written": (2_000, Decimal("2.5")),
        "written 1h": (6_000, Decimal(4)),
    }
    assert prices.worst_case(LASTING, 10_000, 0) == Decimal("0.04")
    assert prices.worst_case(PRICE, 10_000, 0) == Decimal("0.025")


def test_the_vendor_says_which_writes_are_for_an_hour() -> None:
    counts = {
        "input_tokens": 10,
        "cache_creation_input_tokens": 50,
        "output_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 30},
    }
    usage = usage_of(counts)
    assert (usage.cache_write_tokens, usage.cache_write_1h_tokens) == (50, 30)
    assert usage_of({**counts, "cache_creation": None}).cache_write_1h_tokens == 0


def test_a_history_keeps_them() -> None:
    from pydantic import TypeAdapter

    of = TypeAdapter(BriefUsage)
    usage = Usage(100, 5, cache_write_tokens=50, cache_write_1h_tokens=30)
    assert of.validate_python(of.dump_python(usage, mode="json")) == usage
    plain = Usage(100, 5, cache_write_tokens=50)
    assert of.dump_python(plain, mode="json") == [100, 5, 0, 50, 0, 105]


def test_a_stated_price_says_what_it_takes_or_asks_for_no_hour() -> None:
    own = {"*": PriceOverride(input=2, output=10, cache_write_1h=5)}
    assert quote("anthropic", MODEL, DAY, own).cache_write_1h is None
    found = quote("anthropic", MODEL, DAY, own, cache_lasts_s=900)
    assert found.cache_write_1h == Rate(base=Decimal(5))


async def test_the_hour_is_asked_for_only_where_its_price_is_known() -> None:
    context = SharedContext.model_construct(files=(), lasts=900.0)
    use = SharedUse(cache=CacheRef(name="p", application="created", resends=True))
    request = ChatRequest([Message("user", "Go.")])
    store = ArtifactStore.open("memory://")
    asked = [await with_shared(request, context, store, "r", use, p) for p in (PRICE, LASTING)]
    assert [one.cache_lasts_s for one in asked] == [None, 900.0]


def marks(request: ChatRequest) -> list[list[object]]:
    """Return the breakpoints of each turn's blocks, the system's first."""
    body = messages_body(request, MODEL, profile(MODEL)).json
    turns = [body.get("system", []), *(turn["content"] for turn in body["messages"])]
    return [[block.get("cache_control") for block in blocks] for blocks in turns]


SHARED = [Message("user", "shared"), Message("user", "own")]
TALK = [*SHARED, Message("assistant", "Yes?"), Message("user", "Go on.")]


@pytest.mark.parametrize(
    ("messages", "lasts", "expected"),
    [
        (SHARED, None, [[], [SHORT, None]]),
        (SHARED, 300.0, [[], [SHORT, None]]),
        (SHARED, 301.0, [[], [LONG, None]]),
        (TALK, None, [[], [SHORT, None], [SHORT], [None]]),
        (TALK, 900.0, [[], [LONG, None], [SHORT], [None]]),
    ],
)
def test_the_wire_has_long_lives_before_short_ones(
    messages: list[Message], lasts: float | None, expected: list[list[object]]
) -> None:
    assert marks(ChatRequest(messages, cache_key="p", cache_lasts_s=lasts)) == expected


def test_nothing_is_marked_without_a_cache() -> None:
    assert marks(ChatRequest(TALK, cache_lasts_s=900.0)) == [[], [None, None], [None], [None]]


async def test_the_simulator_writes_as_it_is_asked_to() -> None:
    told = []
    for key, lasts in (("hour", 900.0), ("minutes", None)):
        request = ChatRequest(
            [Message("user", TEXT), Message("user", "Go.")], cache_key=key, cache_lasts_s=lasts
        )
        told.append((await SimulatedClient(model=MODEL).chat(request)).usage)
    hour, minutes = told
    assert hour.cache_write_1h_tokens == hour.cache_write_tokens > 1_024
    assert (minutes.cache_write_1h_tokens, minutes.cache_write_tokens) == (
        0,
        hour.cache_write_tokens,
    )
