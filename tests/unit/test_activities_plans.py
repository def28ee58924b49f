"""Plans in a worker's memory: as many as fit; the least recently used goes first."""

from collections import Counter
from decimal import Decimal

import pytest

from activities.plans import PlanCache
from contracts.artifacts import ArtifactRef
from contracts.plans import Candidate, Plan
from contracts.prices import Price, Rate
from contracts.teams import ModelStep, TeamSpec
from stores.artifacts import ArtifactStore

pytestmark = pytest.mark.unit

FREE = Rate(base=Decimal(0))


class CountedStore(ArtifactStore):
    """Counts what is read."""

    reads: Counter[str]

    async def get_bytes(self, ref: ArtifactRef) -> bytes:
        self.reads[ref.sha256] += 1
        return await super().get_bytes(ref)


@pytest.fixture
def store() -> CountedStore:
    opened = CountedStore.open("memory://")
    assert isinstance(opened, CountedStore)
    opened.reads = Counter()
    return opened


def plan(name: str) -> Plan:
    step = ModelStep(name="a", prompt_template="Say something.")
    price = Price(model="m", input=FREE, output=FREE, source="tests", version="1")
    return Plan(
        team=TeamSpec(name=name, agents=(step,)),
        candidates=(Candidate(provider="p", model="m", queue="q", price=price),),
        step_candidates={"a": (0,)},
    )


async def test_a_hundred_runs_at_once_read_their_plan_once_each(store: CountedStore) -> None:
    refs = [await store.put_json(plan(f"team-{n}")) for n in range(100)]
    cache = PlanCache(store)
    for _ in range(3):
        for number, ref in enumerate(refs):
            assert (await cache.get(ref)).team.name == f"team-{number}"
            assert (await cache.page(ref, 0)).nodes[0].name == "a"
    assert set(store.reads.values()) == {1}


async def test_the_least_recently_used_goes_first_and_the_latest_never(
    store: CountedStore,
) -> None:
    first, second, third = [await store.put_json(plan(name)) for name in ("x", "y", "z")]
    cache = PlanCache(store, kept_bytes=first.size_bytes + second.size_bytes)
    for ref in (first, second, first, third, first):
        await cache.get(ref)
    assert store.reads == {first.sha256: 1, second.sha256: 1, third.sha256: 1}
    await cache.get(second)
    assert store.reads[second.sha256] == 2
    tiny = PlanCache(store, kept_bytes=1)
    store.reads.clear()
    for ref in (first, first, second, second):
        await tiny.page(ref, 0)
    assert store.reads == {first.sha256: 1, second.sha256: 1}
