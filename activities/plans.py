"""Plans, parsed and cut into pages once per worker."""

from collections import OrderedDict

from contracts.artifacts import ArtifactRef
from contracts.plans import Plan, PlanPage
from rules import planning
from stores.artifacts import ArtifactStore

KEPT_BYTES = 8_000_000
"""Plans held in memory at once, as JSON: hundreds of usual ones. The latest is always held."""


class PlanCache:
    """The most recently used plans by digest: an activity of a run reads its plan every time.

    Bounded by size, not by number: with more runs at once than plans, each would be read anew for
    every call.
    """

    def __init__(self, store: ArtifactStore, kept_bytes: int = KEPT_BYTES) -> None:
        self._store, self._kept_bytes = store, kept_bytes
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._pages: dict[str, tuple[PlanPage, ...]] = {}
        self._sizes: dict[str, int] = {}

    async def get(self, ref: ArtifactRef) -> Plan:
        """Return the plan. Raises a StoreError where it cannot be read."""
        plan = self._plans.get(ref.sha256)
        if plan is None:
            plan = Plan.model_validate_json(await self._store.get_bytes(ref))
            self._plans[ref.sha256], self._sizes[ref.sha256] = plan, ref.size_bytes
        self._plans.move_to_end(ref.sha256)
        self._forget_oldest()
        return plan

    def _forget_oldest(self) -> None:
        while sum(self._sizes.values()) > self._kept_bytes and len(self._plans) > 1:
            digest, _ = self._plans.popitem(last=False)
            self._sizes.pop(digest)
            self._pages.pop(digest, None)

    async def page(self, ref: ArtifactRef, number: int) -> PlanPage:
        """Return one page of a plan's graph: of a large team all are cut at once."""
        plan = await self.get(ref)
        if ref.sha256 not in self._pages:
            self._pages[ref.sha256] = planning.pages(plan)
        return self._pages[ref.sha256][number]
