"""Ids of runs that nobody named."""

import re
import secrets
from datetime import UTC, datetime


def new_run_id(team: str) -> str:
    """Return a fresh run id: the team's name, the time (UTC) and four random characters."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", team).strip("-")[:80] or "run"
    return f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
