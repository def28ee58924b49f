"""An identical call's answer in place of a new one: asked for before anything else is done."""

from contracts.execution import ExecutionPlan
from contracts.execution_calls import Asked, GenerateReply, ReuseCall
from rules.identity import request_key
from workflows.effects import Effects


def reuse_key(plan: ExecutionPlan, call: int, provider: str) -> str:
    """Return what a call's answer is kept under; "" where none is to be reused."""
    return request_key(plan, call, provider) if plan.calls[call].reuse_s else ""


async def kept_answer(
    effects: Effects, asked: Asked, plan: ExecutionPlan, call: int
) -> GenerateReply | None:
    """Return the answer that an identical call was given, or None."""
    key = reuse_key(plan, call, asked.provider)
    if not key:
        return None
    within = plan.calls[call].reuse_s
    return await effects.reuse(ReuseCall(**asked.model_dump(), key=key, within_s=within))
