"""Which calls of tools are made within the workflow's own task, without a queue between. Pure.

A way through a queue and back takes longer than many tools do. But while a call is made within
the workflow's task, the workflow hears of nothing else. So it is for tools that were quick the last
time. A worker that is lost then makes the call again, as it does by the queue: an unsafe one is
begun once either way, since it leaves a note in the store first.

| the tool | its next call |
| --- | --- |
| belongs to a group of workers | by the queue |
| was not called yet, or took longer than QUICK_S | by the queue |
| took no longer | at once |
"""

from contracts.tools import ToolFact

QUICK_S = 0.05
"""About what the way through a queue and back takes: nobody waits longer for what is at once."""


def may_be_at_once(fact: ToolFact, took_s: float | None) -> bool:
    """Whether a tool whose last call took so many seconds (None: there was none) is quick."""
    return fact.queue is None and took_s is not None and took_s <= QUICK_S
