"""Task queues: which workers do what."""

WORKFLOW_QUEUE = "callboard"
"""Task queue of workflows and light activities."""

OWN_CLIENT = "inproc-"
"""Begins the name of what serves a caller's own client: its queues are that process's alone."""


def provider_queue(provider: str) -> str:
    """Return the task queue whose workers hold the provider's key."""
    return f"{WORKFLOW_QUEUE}-{provider.replace('_', '-')}"
