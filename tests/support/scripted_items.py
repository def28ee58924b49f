"""A double of a slice's child run: does some of its items, or breaks."""

from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from temporalio.exceptions import ApplicationError

    from contracts.slices import ITEMS_WORKFLOW, SliceRequest, SliceResult

MOST_TAKEN = 100
PRICE = Decimal("0.01")


@workflow.defn(name=ITEMS_WORKFLOW)
class ScriptedItems:
    """Takes a hundred items at a time, at a cent each; breaks in slice number 2."""

    @workflow.run
    async def run(self, request: SliceRequest) -> SliceResult:
        """Return what a child run would, without any call."""
        if request.number == 2:
            raise ApplicationError("broken on purpose", non_retryable=True)
        first, last = request.unit.partition("[")[2].rstrip("]").split("..")
        taken = min(MOST_TAKEN, int(last) - int(first) + 1)
        return SliceResult(
            taken=taken,
            completed=taken,
            counted=taken * PRICE,
            served=taken * PRICE,
            calls=taken,
            most_attempts=1,
        )
