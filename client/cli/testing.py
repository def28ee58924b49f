"""`test`: run the test cases of agent files, show how each came out, write reports.

Strategy: files, cases, models and gates are checked before a server is touched. The cases then
run side by side in conversations of their own; each is told on stderr when it has ended. stdout
gets the table, or JSON. The exit code says what the first thing to look at is: 2 the files, 3 the
place or the provider, 4 the checks, 1 the agent.
"""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from client.cli.console import DONE, FAILED, Refusal, clean, run_async, say, stdout
from client.cli.places import Planning, conversations, given_model
from client.cli.preparing import refuse_absent
from client.cli.session import Session, open_session
from client.cli.spelling import duration, money, plural
from client.cli.tables import new_table, plain
from client.cli.verdict_gates import Gating
from client.connection import ServerUnreachable
from client.devserver.errors import DevServerError
from client.embedded import EmbeddedFailed
from client.planning import PlanError
from client.runs import NoWorker
from client.testing.cases import Tested, run_cases
from client.testing.judges import Judges
from client.testing.results import CaseResult, SuiteResult, pass_rate
from config.agentfile import LoadedAgent, load_agent
from config.problems import ConfigError, Problem, did_you_mean
from contracts.agent_cases import AgentCase
from rules.metrics import problems
from stores.exceptions import StoreError

if TYPE_CHECKING:
    from rich.table import Table


NOT_RUN, NOT_JUDGED = 3, 4
"""Exit codes: a case could not be run, one could not be judged."""

_STYLES = {
    "passed": ("✓", "green"),
    "failed": ("✗", "red"),
    "error": ("!", "red"),
    "unjudged": ("?", "yellow"),
}


@dataclass(frozen=True)
class TestWanted:
    """What was asked for on the command line. `threshold` is the share that has to pass."""

    __test__ = False

    files: Sequence[Path]
    cases: Sequence[str] = ()
    parallel: int = 4
    provider: str | None = None
    simulation: Path | None = None
    model: str | None = None
    threshold: float = 1.0
    approve: bool = False
    junit: Path | None = None
    markdown: Path | None = None
    as_json: bool = False


def test_agents(wanted: TestWanted, gating: Gating) -> int:
    """Run the cases; return the exit code."""
    session = open_session()
    loaded = _loaded(wanted)
    chosen = _chosen(loaded, wanted.cases)
    _check_reports(wanted)
    gating.check()
    return run_async(lambda: _test(session, wanted, gating, chosen))


# before a server is touched


def _loaded(wanted: TestWanted) -> list[LoadedAgent]:
    """Load all files, or say what is wrong with any. Raises Refusal, ConfigError."""
    found, wrong = [], list[Problem]()
    for file in dict.fromkeys(wanted.files):
        refuse_absent(file)
        try:
            found.append(load_agent(file, given=given_model(wanted.model)))
        except ConfigError as error:
            wrong += error.problems
    if wrong:
        raise ConfigError(wrong)
    return found


Chosen = list[tuple[LoadedAgent, tuple[AgentCase, ...]]]


def _chosen(loaded: Sequence[LoadedAgent], names: Sequence[str]) -> Chosen:
    """Return the cases to run, by agent. Raises Refusal: none, or one that cannot be judged."""
    known = [case.name for one in loaded for case in one.agent.test_cases]
    if not known:
        raise Refusal(f"{loaded[0].source}: there are no test_cases")
    for name in names:
        if not any(fnmatchcase(case, name) for case in known):
            hint = did_you_mean(name, known) or f" There are: {', '.join(known[:20])}."
            raise Refusal(f"--case {name}: no such test case.{hint}")
    chosen = [(one, _named(one.agent.test_cases, names)) for one in loaded]
    wrong = [
        f"{one.source}: test case {case.name}: {problem}"
        for one, cases in chosen
        for case in cases
        for problem in problems(case)
    ]
    if wrong:
        raise Refusal("\n".join(wrong))
    return [(one, cases) for one, cases in chosen if cases]


def _named(cases: Sequence[AgentCase], names: Sequence[str]) -> tuple[AgentCase, ...]:
    return tuple(
        case for case in cases if not names or any(fnmatchcase(case.name, name) for name in names)
    )


def _check_reports(wanted: TestWanted) -> None:
    for flag, file in (("--junit", wanted.junit), ("--markdown", wanted.markdown)):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise Refusal(f"{flag} {file}: cannot be written there")


def _planned(plan: Planning, chosen: Chosen) -> list[Tested]:
    """Resolve the agents and their judges. Raises PlanError, RouterError."""
    tested = []
    for loaded, cases in chosen:
        try:
            planned = plan(loaded)
            tested.append(Tested(loaded, planned, Judges.of(loaded, cases, plan), cases))
        except PlanError as error:
            raise PlanError(f"{loaded.source}: {line}" for line in error.problems) from None
        for note in planned.notes:
            say(f"note: {note}")
    return tested


# running


async def _test(session: Session, wanted: TestWanted, gating: Gating, chosen: Chosen) -> int:
    try:
        tested = _planned(await Planning.of(session, wanted.provider, wanted.simulation), chosen)
        count = sum(len(one.cases) for one in tested)
        say(f"{plural(count, 'test case')}, {min(wanted.parallel, count)} at once")
        async with conversations(session, wanted.provider) as chats:
            at_once = asyncio.Semaphore(wanted.parallel)
            cases = await asyncio.gather(
                *(run_cases(chats, one, _tell, at_once, approve=wanted.approve) for one in tested)
            )
    except (ServerUnreachable, NoWorker, DevServerError, EmbeddedFailed, StoreError) as error:
        raise Refusal(str(error), NOT_RUN) from None
    suites = [
        SuiteResult(one.loaded.agent.name, one.loaded.source, found)
        for one, found in zip(tested, cases, strict=True)
    ]
    verdict = await gating.verdict(suites)
    code = max(_told(wanted, suites), verdict, key=_weight)
    _write_reports(wanted, suites)  # a full disk costs the files, not what was paid for
    return code


def _tell(case: CaseResult) -> None:
    """Say how a case came out."""
    mark, _ = _STYLES[case.outcome]
    say(f"{mark} {case.name}  {duration(case.seconds)}  {money(case.spent)}")
    for reason in case.reasons:
        say(f"    {reason}")


def _told(wanted: TestWanted, suites: Sequence[SuiteResult]) -> int:
    """Write the result to stdout; return the exit code."""
    from client.testing.reports import data, summary

    if wanted.as_json:
        print(json.dumps(data(suites), ensure_ascii=False, indent=2))
    else:
        console = stdout()
        for suite in suites:
            console.print(_table(suite, named=len(suites) > 1))
        print(clean(summary(suites)))
    sys.stdout.flush()
    if any(suite.count("error") for suite in suites):
        return NOT_RUN
    if any(suite.count("unjudged") for suite in suites):
        return NOT_JUDGED
    return DONE if pass_rate(suites) >= wanted.threshold else FAILED


def _table(suite: SuiteResult, *, named: bool) -> "Table":
    from rich.text import Text

    table = new_table(
        "case", "result", "checks", "by", "tokens", "cost", "time", right=("tokens", "cost", "time")
    )
    if named:
        table.title, table.title_justify, table.title_style = suite.agent, "left", "bold"
    for case in suite.cases:
        mark, style = _STYLES[case.outcome]
        passed = sum(verdict.passed for verdict in case.verdicts)
        table.add_row(
            plain(case.name),
            Text(f"{mark} {case.outcome}", style=style),
            f"{passed} of {len(case.verdicts)}" if case.verdicts else "",
            plain(case.model),
            f"{case.tokens:,}",
            money(case.spent),
            duration(case.seconds),
        )
    return table


def _weight(code: int) -> int:
    """Order exit codes by what is to be looked at first."""
    return (DONE, FAILED, NOT_JUDGED, NOT_RUN).index(code)


def _write_reports(wanted: TestWanted, suites: Sequence[SuiteResult]) -> None:
    """Write the files that were asked for. Raises Refusal."""
    if wanted.junit is not None:
        from client.testing.junit import junit

        _write("--junit", wanted.junit, junit(suites))
    if wanted.markdown is not None:
        from client.testing.reports import markdown

        _write("--markdown", wanted.markdown, markdown(suites).encode())


def _write(flag: str, file: Path, content: bytes) -> None:
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Refusal(f"{flag} {file}: {error.strerror}") from None
    say(f"{file}: {len(content):,} bytes")
