"""Plans, parsed once per worker."""

from collections import OrderedDict

from contracts.artifacts import ArtifactRef
from contracts.plans import Plan
from stores.artifacts import ArtifactStore

KEPT = 64
"""Plans held in memory at once."""


class PlanCache:
    """The most recently used plans by digest: an activity of a run reads its plan every time."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    async def get(self, ref: ArtifactRef) -> Plan:
        """Return the plan. Raises a StoreError where it cannot be read."""
        plan = self._plans.get(ref.sha256)
        if plan is None:
            plan = Plan.model_validate_json(await self._store.get_bytes(ref))
            self._plans[ref.sha256] = plan
            while len(self._plans) > KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(ref.sha256)
        return plan
