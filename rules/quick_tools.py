"""Which calls of tools are made within the workflow's own task, without a queue between. Pure.

A way through a queue and back takes longer than many tools do. But while a call is made within
the workflow's task, the workflow hears of nothing else, and a worker that is lost makes the call
again. So it is for tools that may be called twice and were quick the last time.

| the tool | its next call |
| --- | --- |
| is unsafe, or belongs to a group of workers | by the queue |
| was not called yet, or took longer than QUICK_S | by the queue |
| took no longer | at once |
"""

from contracts.tools import ToolFact

QUICK_S = 0.05
"""About what the way through a queue and back takes: nobody waits longer for what is at once."""


def may_be_at_once(fact: ToolFact, took_s: float | None) -> bool:
    """Whether a tool whose last call took so many seconds (None: there was none) is quick."""
    if fact.effect == "unsafe" or fact.queue is not None:
        return False
    return took_s is not None and took_s <= QUICK_S
