"""The same run id twice: what `run` says of a run that there is already."""

import asyncio
from pathlib import Path

import pytest

from client.cli.console import Refusal
from client.cli.running import _earlier
from tests.support.harness import harness
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer
from tests.support.teams import agent, plan, team

pytestmark = pytest.mark.integration


async def test_a_run_that_goes_on_is_followed_and_another_teams_id_is_refused(
    server: LocalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = Script({"slow": [Say("in the midst of it", held=1)]})
    async with harness(server.address, tmp_path, script) as running:
        runs, spec = running.runs, team(agent("slow"))
        assert await _earlier(runs, "nobody-has-this-id", spec.name) is None
        run = await running.start(plan(spec))
        while script.count("slow") == 0:
            await asyncio.sleep(0.02)
        same = await _earlier(runs, run.run_id, spec.name)
        assert same is not None
        assert same.run_id == run.run_id
        assert "goes on already: nothing was started" in capsys.readouterr().err
        with pytest.raises(Refusal, match=f'is a run of team "{spec.name}"'):
            await _earlier(runs, run.run_id, "another")
        script.go.set()
        await run.wait()
        ended = await _earlier(runs, run.run_id, spec.name)
        assert ended is not None
        assert (await ended.status()).run_id == run.run_id
        assert "has ended before" in capsys.readouterr().err
        with pytest.raises(Refusal, match="choose another id"):
            await _earlier(runs, run.run_id, "another")
