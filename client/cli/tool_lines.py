"""What a tool does, as one line."""

from contracts.spools import SpoolRecord

SHOWN_CHARS = 80


def tool_line(record: SpoolRecord, *, verbose: bool) -> str | None:
    """Return a tool's event as a line; None for what is not shown."""
    event = record.tool
    if event is None:
        return None
    data = event.data
    if event.event == "started":
        given = data.get("parameters")
        return f"→ {event.tool}{_short(given) if verbose and given else ''}"
    if event.event == "progress":
        said = data.get("message") or data.get("progress")
        return f"  {event.tool}: {_short(said)}" if said else None
    took = data.get("execution_time")
    after = f" {took:.1f}s" if isinstance(took, int | float) else ""
    if event.event == "completed":
        gave = f" {_short(data['result'])}" if verbose and data.get("result") else ""
        return f"✓ {event.tool}{after}{gave}"
    return f"✗ {event.tool}{after}: {_short(data.get('error') or 'failed')}"


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    text = text if len(text) <= SHOWN_CHARS else f"{text[: SHOWN_CHARS - 1]}…"
    return f" {text}" if isinstance(value, dict) else text
