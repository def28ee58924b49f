"""Plans, parsed and cut into pages once per worker."""

from collections import OrderedDict

from contracts.artifacts import ArtifactRef
from contracts.plans import Plan, PlanPage
from rules import planning
from stores.artifacts import ArtifactStore

KEPT = 64
"""Plans held in memory at once."""


class PlanCache:
    """The most recently used plans by digest: an activity of a run reads its plan every time."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._plans: OrderedDict[str, Plan] = OrderedDict()
        self._pages: dict[str, tuple[PlanPage, ...]] = {}

    async def get(self, ref: ArtifactRef) -> Plan:
        """Return the plan. Raises a StoreError where it cannot be read."""
        plan = self._plans.get(ref.sha256)
        if plan is None:
            plan = Plan.model_validate_json(await self._store.get_bytes(ref))
            self._plans[ref.sha256] = plan
            while len(self._plans) > KEPT:
                digest, _ = self._plans.popitem(last=False)
                self._pages.pop(digest, None)
        self._plans.move_to_end(ref.sha256)
        return plan

    async def page(self, ref: ArtifactRef, number: int) -> PlanPage:
        """Return one page of a plan's graph: of a large team all are cut at once."""
        plan = await self.get(ref)
        if ref.sha256 not in self._pages:
            self._pages[ref.sha256] = planning.pages(plan)
        return self._pages[ref.sha256][number]
