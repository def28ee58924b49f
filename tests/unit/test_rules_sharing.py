"""What caching costs and saves: worked examples, and bounds that hold for all of them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.files import NAME_BYTES, AttachedFile
from contracts.plans import Candidate, Plan
from contracts.prices import Price, Rate
from contracts.teams import OutputSpec, SharedContext
from rules import planning
from rules.estimates import estimate
from rules.sharing import SharedEstimate, likely_tokens, shared_estimates
from tests.support.teams import agent, candidate, plan, team

pytestmark = pytest.mark.unit

TEXT = AttachedFile(path="b", name="b", mime_type="text/plain", size_bytes=40_000, sha256="b" * 64)
PDF = AttachedFile(path="a", name="a", mime_type="application/pdf", size_bytes=9, sha256="a" * 64)
PRICE = Price(
    model="m",
    input=Rate(base=Decimal(10)),
    output=Rate(base=Decimal(20)),
    cached_input=Rate(base=Decimal(1)),
    cache_write=Rate(base=Decimal("12.5")),
    source="tests",
    version="1",
)
MOST = 120_000 + NAME_BYTES


def asked(caching: str = "prefix", **more: object) -> Candidate:
    made = candidate(caching=caching, cache_floor=1_024)
    return made.model_copy(update={"price": PRICE, **more})


def made(users: int, one: Candidate, shared: SharedContext | None = None, **more: object) -> Plan:
    steps = [agent(f"a{n}", shared_context=True, **more) for n in range(users)]
    spec = team(*steps, shared_context=shared or SharedContext(files=(TEXT,)))
    tokens = {step.name: MOST for step in steps}
    return plan(spec, one, file_tokens=tokens, shared_tokens=(MOST,))


def only(spec: Plan) -> SharedEstimate:
    (found,) = estimate(spec, {}).shared
    return found


def test_a_prefix_is_written_by_the_first_call_and_read_by_the_others() -> None:
    found = only(made(4, asked()))
    assert (found.tokens, found.calls, found.writes) == (10_000, 4, 1)
    assert found.uncached == Decimal("0.4")
    assert found.cached == Decimal("0.125") + 3 * Decimal("0.01")
    assert found.saves == Decimal("0.245")
    assert found.pays_from == 2
    assert (found.storage, found.most) == (0, 0)


def test_each_form_before_the_context_is_a_prefix_of_its_own() -> None:
    text, wanted = (
        agent("a", shared_context=True),
        OutputSpec(kind="json", schema_={"type": "object"}),
    )
    form = agent("b", shared_context=True, output=wanted)
    spec = team(text, form, shared_context=SharedContext(files=(TEXT,)))
    found = only(plan(spec, asked(), file_tokens={"a": MOST, "b": MOST}, shared_tokens=(MOST,)))
    assert found.writes == 2
    assert found.cached == 2 * Decimal("0.125")
    assert found.saves < 0


def test_a_cache_of_a_name_of_its_own_is_paid_for_its_time() -> None:
    price = PRICE.model_copy(
        update={"cache_write": None, "cache_storage": Rate(base=Decimal("4.5"))}
    )
    shared = SharedContext(files=(TEXT,), ttl=7_200)
    found = only(made(4, asked("named", price=price), shared))
    assert (found.write, found.storage) == (Decimal("0.1"), Decimal("0.09"))
    assert found.cached == Decimal("0.1") + Decimal("0.09") + 4 * Decimal("0.01")
    assert found.pays_from == 3  # 0.19 once, 0.09 saved by each
    assert found.most == (MOST * Decimal(10) + 2 * MOST * Decimal("4.5")) / 1_000_000


@pytest.mark.parametrize(
    ("one", "shared", "why"),
    [
        (asked(), SharedContext(files=(TEXT,), cache=False), "cache: false"),
        (asked("none"), None, "the provider makes no caches"),
        (asked(cache_floor=20_000), None, "the provider caches from 20,000 tokens on"),
    ],
)
def test_why_there_is_no_cache(one: Candidate, shared: SharedContext | None, why: str) -> None:
    found = only(made(4, one, shared))
    assert (found.why_not, found.saves, found.pays_from) == (why, 0, None)


def test_a_vendor_that_gives_no_discount_never_pays() -> None:
    price = PRICE.model_copy(update={"cached_input": None})
    assert only(made(4, asked(price=price))).pays_from is None


def test_the_run_s_estimate_has_what_is_saved_and_reserved() -> None:
    with_cache = estimate(made(4, asked()), {})
    without = estimate(made(4, asked(), SharedContext(files=(TEXT,), cache=False)), {})
    assert without.expected - with_cache.expected == with_cache.shared[0].saves > 0
    assert with_cache.steps_most == without.steps_most
    price = PRICE.model_copy(update={"cache_storage": Rate(base=Decimal("4.5"))})
    named = estimate(made(4, asked("named", price=price)), {})
    plain = estimate(made(4, asked("none", price=price)), {})
    assert named.steps_most is not None
    assert plain.steps_most is not None
    assert named.steps_most - plain.steps_most == named.shared[0].most


def test_the_likely_size_of_what_is_no_text_is_a_quarter_of_its_bound() -> None:
    assert likely_tokens([TEXT], MOST) == 10_000
    assert likely_tokens([PDF], 8_000 + NAME_BYTES) == 2_000
    assert likely_tokens([PDF, TEXT], MOST + 8_000 + NAME_BYTES) == 12_000


RATES = st.decimals("0.01", "100", places=2)


@given(users=st.integers(1, 12), rates=st.tuples(RATES, RATES, RATES), storage=RATES)
def test_it_pays_exactly_from_the_number_of_calls_that_it_says(
    users: int, rates: tuple[Decimal, Decimal, Decimal], storage: Decimal
) -> None:
    read, plain, write = sorted(rates)
    price = Price(
        model="m",
        input=Rate(base=plain),
        output=Rate(base=plain),
        cached_input=Rate(base=read),
        cache_write=Rate(base=write),
        cache_storage=Rate(base=storage),
        source="tests",
        version="1",
    )
    for caching in ("prefix", "named"):
        spec = made(users, asked(caching, price=price))
        nodes = planning.nodes(spec)
        (found,) = shared_estimates(spec, nodes, {node.name: Decimal(1) for node in nodes})
        pays = found.pays_from is not None and users >= found.pays_from
        assert pays == (found.saves > 0)
