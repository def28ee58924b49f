"""What a run has at its providers goes on with it in a new history."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from contracts.artifacts import ArtifactRef
from contracts.execution import CacheRef
from contracts.runs import RunRequest
from contracts.sharing import MadeCache, SharingState, Uploaded
from rules import planning
from tests.support.teams import agent, plan, team
from workflows import carrying
from workflows.state import RunState

pytestmark = pytest.mark.unit


def state() -> RunState:
    made = plan(team(agent("a")))
    ref = ArtifactRef(sha256="a" * 64, size_bytes=1, media_type="application/json")
    request = RunRequest(run_id="r", team="t", plan=ref)
    found = RunState(request, planning.header(made, 1), list(planning.nodes(made)))
    found.started_at = datetime.now(UTC)
    return found


def test_uploads_caches_and_their_reservations() -> None:
    before, after = state(), state()
    named = CacheRef(name="cache-1", application="created", key="k", tokens=7)
    prefix = CacheRef(name="p", application="created", key="q", resends=True)
    forever = datetime.max.replace(tzinfo=UTC)
    now = datetime.now(UTC)
    before.at_vendors = SharingState(
        uploads=(Uploaded(provider="v", sha256="b" * 64, uri="file-1"),),
        caches=(
            MadeCache(provider="v", model="m", ref=named, made_at=now, until=now, paid_as="s#1"),
            MadeCache(provider="w", model="m", ref=prefix, made_at=now, until=forever),
        ),
    )
    before.ledger.ask("s#1", "s", Decimal("0.5"))
    carrying.restore(after, carrying.dump(before))
    assert after.at_vendors == before.at_vendors
    assert after.ledger.outstanding == ("s#1",)
    carrying.restore(state(), carrying.dump(state()))
