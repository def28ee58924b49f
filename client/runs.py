"""The runs of a server and a store: start one, find one, list the latest.

Without a server those that have ended are found all the same: `client.run` says how.
"""

import contextlib
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import SearchAttributeKey, WorkflowIDConflictPolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from client.absence import NoServer, NoWorker, UnknownRun
from client.announcing import attributes, details, stored_plan, summarised_team, summary
from client.run import ASK_LIMIT, ENDED, Run
from client.run_ids import new_run_id
from client.searchability import has_search_attributes
from contracts import search
from contracts.artifacts import Value
from contracts.plans import Plan
from contracts.queues import WORKFLOW_QUEUE
from contracts.runs import RUN_SHAPE, RUN_WORKFLOW, RunRequest, RunStatus
from contracts.teams import WorkflowStatus
from rules import planning
from stores.artifacts import ArtifactStore
from stores.spooling import Spools

__all__ = ["ASK_LIMIT", "IdTaken", "NoWorker", "Run", "Runs", "UnknownRun", "new_run_id"]


class IdTaken(Exception):
    """What goes on under an id on the server is something else."""


class Runs:
    """All runs of one server and store. Without a client, those that have ended can be read.

    `ask_limit` is how long a worker may take to answer a question. `searched` unless nobody
    looks for runs on this server by their attributes: each write of them is an event.
    """

    def __init__(
        self,
        client: Client | None,
        store: ArtifactStore,
        spools: Spools,
        *,
        ask_limit: timedelta = ASK_LIMIT,
        searched: bool = True,
    ) -> None:
        self._client = client
        self._searched = searched
        self.ask_limit = ask_limit
        self._searchable = False
        self.store = store
        self.spools = spools

    @property
    def client(self) -> Client:
        """The server's client. Raises NoServer."""
        if self._client is None:
            raise NoServer
        return self._client

    @property
    def connected(self) -> bool:
        """Whether there is a server to ask."""
        return self._client is not None

    async def start(
        self,
        plan: Plan,
        inputs: Mapping[str, Value],
        run_id: str | None = None,
        *,
        queue: str = WORKFLOW_QUEUE,
        lost_after: timedelta | None = None,
    ) -> Run:
        """Start a run of a resolved team; the same `run_id` twice is the same run.

        `queue` is polled by the workers that shall work on it. Where nobody else can, the server
        closes a run that is still open `lost_after` its start.
        """
        team = plan.team
        run_id = run_id or new_run_id(team.name)
        searchable = await self.searchable()
        ref, stored = await stored_plan(plan, self.store)
        request = RunRequest(
            run_id=run_id,
            team=team.name,
            plan=ref,
            first_page=planning.page(stored, 0),
            inputs=dict(inputs),
            searchable=searchable,
            shape=RUN_SHAPE,
        )
        with contextlib.suppress(WorkflowAlreadyStartedError):
            await self.client.start_workflow(
                RUN_WORKFLOW,
                request,
                id=run_id,
                task_queue=queue,
                execution_timeout=lost_after,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=summary(plan),
                static_details=details(plan),
                search_attributes=attributes(plan) if searchable else None,
                # Where this very client's worker is in the process, as an engine's, it has the
                # first task with the answer; anywhere else the server hands it out as ever.
                request_eager_start=True,
            )
        return self.get(run_id)

    async def searchable(self) -> bool:
        """Return whether the server knows our search attributes. Raises NoServer."""
        if not self._searched:
            return False
        # They are never taken away again: once seen, they are there.
        self._searchable = self._searchable or await has_search_attributes(self.client)
        return self._searchable

    def get(self, run_id: str) -> Run:
        """Return the run of an id, which need not exist."""
        return Run(self, run_id)

    async def team_under_way(self, run_id: str) -> str | None:
        """Return whose run goes on under an id, or None where none does.

        "" where the server was not told. Raises IdTaken where what goes on is no run,
        NoServer, RPCError.
        """
        try:
            found = await self.client.get_workflow_handle(run_id).describe(
                rpc_timeout=self.ask_limit
            )
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
        if found.status is not WorkflowExecutionStatus.RUNNING:
            return None
        if found.workflow_type != RUN_WORKFLOW:
            raise IdTaken(f"{run_id} is under way already, and no run")
        return summarised_team(await found.static_summary() or "")

    async def latest(self, limit: int = 20, where: str = "") -> list[RunStatus]:
        """Return the most recent runs, newest first, without their steps.

        `where` narrows the search, in the server's query language. Raises NoServer.
        """
        found = []
        query = f"WorkflowType = '{RUN_WORKFLOW}' AND {search.NEWEST}"
        query += f" AND {where}" if where else ""
        async for execution in self.client.list_workflows(query, limit=limit):
            attributes = execution.typed_search_attributes
            status = attributes.get(SearchAttributeKey.for_keyword(search.STATUS))
            ended = ENDED.get(execution.status) if execution.status else None
            found.append(
                RunStatus(
                    run_id=execution.id,
                    team=attributes.get(SearchAttributeKey.for_keyword(search.TEAM)) or "",
                    status=ended or WorkflowStatus(status or "running"),
                    cost=_decimal(attributes.get(SearchAttributeKey.for_float(search.COST))),
                    budget=_decimal(None),
                    tokens=attributes.get(SearchAttributeKey.for_int(search.TOKENS)) or 0,
                    started_at=execution.start_time,
                    completed_at=execution.close_time,
                )
            )
        return found


def _decimal(value: float | None) -> Decimal:
    return Decimal(str(value or 0))
