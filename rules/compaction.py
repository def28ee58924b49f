"""When a conversation is summed up, and what its agent is asked for then. Pure.

A summary stands for all that came before it: later calls are shown it and what followed. The
original stays where it is. What is not in the summary the agent no longer knows, so it is asked
for what its work needs, not for a report.
"""

REQUEST = (
    "The conversation has grown long. Sum up all of it for yourself: from now on you will see only "
    "your summary and what follows it. Keep what was asked and decided, every fact, name, number "
    "and path that may matter, what was tried and what came of it, and what is still to be done. "
    "Write the summary and nothing else, and call no tool."
)
"""What an agent is told in place of the next message."""

_HEAD = "Summary of the conversation so far, by {agent}:\n\n{text}"


def is_due(size: int, length: int, over_bytes: int | None) -> bool:
    """Return whether a conversation of so many bytes and messages is to be summed up.

    Never one of a single message: that is a summary already, or nothing that one would shorten.
    """
    return over_bytes is not None and length > 1 and size > over_bytes


def summary(agent: str, text: str) -> str:
    """Return what later calls are shown in place of the conversation."""
    return _HEAD.format(agent=agent, text=text.strip())
