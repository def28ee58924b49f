"""Running a test case: one conversation, ended when its last answer is there, then the verdicts.

The conversation is the same durable one that `chat` and `serve` hold, so what a test shows is
what users get. Nobody is there to be asked: a tool that wants a person's word is refused, or
allowed where the tester said so beforehand.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from client.agent_plans import PlannedAgent
from client.chats import Chat, ChatError, Chats
from client.connection import ServerUnreachable
from client.runs import NoWorker, new_run_id
from client.testing.ending import end
from client.testing.judges import Judges, Unanswered, question
from client.testing.results import CaseResult
from config.agentfile import LoadedAgent
from contracts.agent_cases import AgentCase, CaseMetric
from contracts.base import Json
from contracts.chats import AgentHeader, PendingTool, TurnResult
from contracts.failures import FailureKind
from contracts.teams import AgentStatus
from rules.metrics import judged, measure, metrics_of
from rules.tool_checks import check_tools
from rules.verdicts import CannotEvaluate, ToolUse, Verdict, text_of
from stores.exceptions import StoreError
from stores.values import load_value

PURPOSE = "test"
OWN_FAULTS = frozenset(
    {
        *("TurnLimit", "TurnTimeout", "ToolFailed", "ToolArguments", "BudgetExceeded"),
        *(FailureKind.INVALID_OUTPUT, FailureKind.CONTENT_REFUSED),
    }
)
"""Kinds of turns without an answer that are the agent's own: the case failed. With any other,
such as a provider that is away, it could not be run."""

TROUBLE = (ChatError, NoWorker, ServerUnreachable, StoreError)


@dataclass(frozen=True)
class Tested:
    """An agent whose cases are run: planned, with its judges."""

    __test__ = False

    loaded: LoadedAgent
    planned: PlannedAgent
    judges: Judges
    cases: tuple[AgentCase, ...]


@dataclass
class _Taken:
    """What a case's conversation gave so far."""

    tools: tuple[ToolUse, ...] = ()
    tokens: int = 0
    cost: Decimal = Decimal(0)
    last: TurnResult | None = None
    answer: Json = None


async def run_cases(
    chats: Chats,
    tested: Tested,
    told: Callable[[CaseResult], None],
    at_once: asyncio.Semaphore,
    *,
    approve: bool = False,
) -> tuple[CaseResult, ...]:
    """Run an agent's cases, as many side by side as `at_once` lets; tell each as it ends.

    `approve` allows tool calls that ask a person. Raises StoreError before the first case.
    """
    header = (await tested.planned.stored(chats.runs.store)).model_copy(
        update={"on_budget": "fail"}  # nobody is there to raise it
    )
    run_id = f"test-{new_run_id(tested.loaded.agent.name)}"

    async def run(number: int, case: AgentCase) -> CaseResult:
        async with at_once:
            one = _Case(chats, tested, header, f"{run_id}.{number}", case, approve)
            result = await one.run()
        told(result)
        return result

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(n, case)) for n, case in enumerate(tested.cases, 1)]
    return tuple(task.result() for task in tasks)


class _Case:
    """One case on its way."""

    def __init__(
        self,
        chats: Chats,
        tested: Tested,
        header: AgentHeader,
        chat_id: str,
        case: AgentCase,
        approve: bool,
    ) -> None:
        self._chats, self._tested, self._header = chats, tested, header
        self._chat_id, self._case, self._approve = chat_id, case, approve
        self._taken = _Taken()
        self._judge_cost = Decimal(0)
        self._began = time.monotonic()

    async def run(self) -> CaseResult:
        """Return how it came out, whatever happens."""
        try:
            result = await self._talk()
        except TROUBLE as error:
            result = self._result("error", error=str(error))
        return replace(result, seconds=time.monotonic() - self._began)

    async def _talk(self) -> CaseResult:
        chat = await self._chats.open(self._chat_id, self._header, purpose=PURPOSE)
        try:
            await chat.active()
            self._began = time.monotonic()  # a worker that starts is no part of the case
            for text in self._case.turns:
                await self._turn(chat, text)
                last = self._taken.last
                if last is None or last.status is not AgentStatus.COMPLETED:
                    break
        finally:
            await end(chat)
        return await self._judged()

    async def _turn(self, chat: Chat, text: str) -> None:
        """Say something and wait for what comes of it."""
        place = await chat.place()
        said = await chat.say(text)
        async with contextlib.aclosing(chat.follow(said.turn, place)) as events:
            async for event in events:
                if isinstance(event, PendingTool):
                    await chat.decide(
                        event.call_id,
                        approved=self._approve,
                        comment="" if self._approve else "nobody can be asked in a test",
                        by="test",
                    )
                elif isinstance(event, TurnResult):
                    await self._take(chat, event)

    async def _take(self, chat: Chat, result: TurnResult) -> None:
        taken = self._taken
        uses = [
            ToolUse(one.name, await load_value(chat.store, one.arguments)) for one in result.tools
        ]
        taken.tools += tuple(uses)
        taken.cost += result.cost
        taken.tokens += result.usage.total_tokens if result.usage else 0
        taken.last, taken.answer = result, await chat.output(result)

    async def _judged(self) -> CaseResult:
        last = self._taken.last
        if last is None or last.status is not AgentStatus.COMPLETED:
            kind = last.kind if last else None
            error = f"no answer: {(last and last.error) or 'the turn ended without one'}"
            return self._result("failed" if kind in OWN_FAULTS else "error", error=error)
        case, answer = self._case, self._taken.answer
        try:
            verdicts = [
                *check_tools(case.expected_tools, self._taken.tools, in_order=case.tools_in_order)
            ]
            for number, metric in enumerate(metrics_of(case), 1):
                verdicts.append(await self._verdict(number, metric, answer))
        except CannotEvaluate as error:
            return self._result("unjudged", error=str(error))
        passed = all(verdict.passed for verdict in verdicts)
        return self._result("passed" if passed else "failed", tuple(verdicts))

    async def _verdict(self, number: int, metric: CaseMetric, answer: Json) -> Verdict:
        if metric.metric != "judge":
            return measure(metric, answer, self._case.ground_truth)
        name = f"{self._chat_id}-judge-{number}"
        try:
            said, cost = await self._tested.judges.ask(
                self._chats, name, metric, question(metric, self._case, text_of(answer))
            )
        except TROUBLE as error:
            raise CannotEvaluate(f"the judge could not be asked: {error}") from None
        self._judge_cost += cost
        if isinstance(said, Unanswered):
            raise CannotEvaluate(f"the judge gave no answer: {said.why}")
        return judged(metric, said)

    def _result(
        self, outcome: str, verdicts: Sequence[Verdict] = (), error: str = ""
    ) -> CaseResult:
        taken, last = self._taken, self._taken.last
        return CaseResult(
            name=self._case.name,
            outcome=outcome,  # type: ignore[arg-type]
            verdicts=tuple(verdicts),
            error=" ".join(error.split()),
            answer=taken.answer,
            tools=taken.tools,
            cost=taken.cost,
            judge_cost=self._judge_cost,
            tokens=taken.tokens,
            chat_id=self._chat_id,
            model=f"{last.provider} {last.model}" if last and last.provider else "",
        )
