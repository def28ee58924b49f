"""Light activities of a run: the plan's pages, stored values, outputs, the run artifact.

All are safe to repeat: what they write is content-addressed, and the pointer from a run's id to
its artifact is written last. A store that is out of reach is retried by the server (no money is
at stake); a wrong expression or template is final.
"""

import base64
import zlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from temporalio import activity
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities.evaluation import evaluate_apart
from activities.plans import PlanCache
from activities.slices import SliceWork, measured
from contracts.activities import (
    BindingsPage,
    CarriedState,
    EvaluateCall,
    GatherCall,
    ListFacts,
    PageRequest,
    RenderCall,
    RenderReply,
    RunActivities,
    StatePiece,
    StateRequest,
)
from contracts.artifacts import ArtifactRef, Value
from contracts.base import Json
from contracts.failures import FailureKind
from contracts.plans import AgentHeader, Plan, PlanPage
from contracts.runs import RecordPage, RecordQuery, RunRecord, StateQuery
from contracts.teams import AgentStep, ApprovalStep, StepSpec, TeamStep
from rules import conditions, plainpaths, templates
from rules.teaminputs import InputMisfit, filled
from stores.artifacts import ArtifactStore
from stores.exceptions import ArtifactMissing
from stores.values import load_bindings, load_value, store_value

PIECE_BYTES = 12_000

PROMPT = "prompt"
"""The name of an agent's rendered prompt."""

QUESTION = "ask"
"""The name of a person's rendered question."""


class RunWork(SliceWork, RunActivities):
    """The activities, on one artifact store."""

    def __init__(self, store: ArtifactStore) -> None:
        super().__init__(store)
        self._plans = PlanCache(store)

    @activity.defn(name="load_plan")
    async def load_plan(self, request: PageRequest) -> PlanPage:
        try:
            return await self._plans.page(request.plan, request.number)
        except ArtifactMissing as error:
            raise _final(str(error)) from None

    @activity.defn(name="load_agent")
    async def load_agent(self, ref: ArtifactRef) -> AgentHeader:
        try:
            return await self._store.get_model(ref, AgentHeader)
        except ArtifactMissing as error:
            raise _final(str(error)) from None

    @activity.defn(name="store_bindings")
    async def store_bindings(self, page: BindingsPage) -> ArtifactRef:
        return await self._store.put_json(
            {name: value.model_dump(mode="json") for name, value in page.values.items()}
        )

    @activity.defn(name="evaluate")
    async def evaluate(self, call: EvaluateCall) -> Value:
        agents: dict[str, Mapping[str, Json]] = {}
        for name, fact in call.agents.items():
            output = await load_value(self._store, fact.output) if fact.output else None
            agents[name] = {
                "status": fact.status,
                "output": output,
                "cost": _number(fact.cost),
                "attempts": fact.attempts,
            }
        inputs = await load_bindings(self._store, call.inputs)
        found, value = plainpaths.lookup(call.expression, inputs, agents)
        if found:
            return await store_value(self._store, value, want_inline=True)
        run = {"cost": _number(call.run_cost), "elapsed": call.run_elapsed}
        try:
            value = await evaluate_apart(
                call.expression, conditions.context(inputs, agents, run), call.timeout
            )
        except conditions.ConditionError as error:
            raise _final(str(error)) from None
        return await store_value(self._store, value, want_inline=True)

    @activity.defn(name="render")
    async def render(self, call: RenderCall) -> RenderReply:
        plan = await self._plans.get(call.plan)
        values = await load_bindings(self._store, call.bindings)
        if call.item is not None:
            items = await self._store.get_json(call.item.items)
            values[call.item.name] = items[call.item.index]
        spec = next((spec for spec in plan.team.agents if spec.name == call.step), None)
        made = _made(plan, spec, call, values)
        if isinstance(spec, TeamStep):
            made = await self._inputs_of(plan.child_plans[spec.name], made)
        outputs = {
            name: await store_value(self._store, value, want_inline=call.step is not None)
            for name, value in made.items()
        }
        return RenderReply(outputs=outputs)

    async def _inputs_of(self, child: ArtifactRef, given: Mapping[str, Json]) -> dict[str, Json]:
        """Return an inner team's inputs, its defaults among them."""
        inner = await self._plans.get(child)
        try:
            return filled(inner.team.inputs, given)
        except InputMisfit as error:
            raise _final(str(error)) from None

    @activity.defn(name="measure_list")
    async def measure_list(self, value: Value) -> ListFacts:
        items = await load_value(self._store, value)
        if not isinstance(items, list):
            raise _final(f"for_each needs a list, and this is {_kind(items)}")
        return await measured(self._store, items)

    @activity.defn(name="gather")
    async def gather(self, call: GatherCall) -> Value:
        loaded = await load_bindings(self._store, call.items)
        return await store_value(self._store, _whole(loaded, call.form), want_inline=True)

    @activity.defn(name="store_state")
    async def store_state(self, state: CarriedState) -> ArtifactRef:
        text = await _carried_text() if state.text is None else state.text
        return await self._store.put_bytes(zlib.compress(text.encode()))

    @activity.defn(name="load_state")
    async def load_state(self, request: StateRequest) -> StatePiece:
        try:
            data = base64.b64encode(await self._store.get_bytes(request.state)).decode()
        except ArtifactMissing as error:
            raise _final(str(error)) from None
        at = request.number * PIECE_BYTES
        return StatePiece(data=data[at : at + PIECE_BYTES], pieces=-(-len(data) // PIECE_BYTES))

    @activity.defn(name="store_record")
    async def store_record(self, record: RunRecord) -> ArtifactRef:
        whole = record if len(record.results) == record.steps else await _completed(record)
        ref = await self._store.put_json(whole)
        await self._store.note(f"runs/{record.run_id}", ref)
        return ref


async def _completed(record: RunRecord) -> RunRecord:
    """Return the record with what the workflow did not hand over."""
    pages = [await _records(RecordQuery())]
    while (seen := sum(len(page.results) for page in pages)) < record.steps:
        page = await _records(RecordQuery(start=seen))
        if not page.results:
            raise _final("the workflow knows fewer steps than its record says")
        pages.append(page)
    return record.model_copy(
        update={
            "inputs": pages[0].inputs,
            "outputs": pages[0].outputs,
            "results": tuple(result for page in pages for result in page.results),
            "attempts": tuple(attempt for page in pages for attempt in page.attempts),
        }
    )


async def _records(query: RecordQuery) -> RecordPage:
    page: RecordPage = await _own_workflow().query("records", query, result_type=RecordPage)
    return page


async def _carried_text() -> str:
    """Return what the workflow carries over to its next history."""
    text = ""
    while True:
        query = StateQuery(start=len(text))
        piece: str = await _own_workflow().query("carried_state", query, result_type=str)
        text += piece
        if len(piece) < query.count:
            return text


def _own_workflow() -> WorkflowHandle[Any, Any]:
    """Return the workflow that this activity works for: queries leave no trace in its history."""
    info = activity.info()
    return activity.client().get_workflow_handle(
        info.workflow_id or "", run_id=info.workflow_run_id
    )


def _made(
    plan: Plan, spec: StepSpec | None, call: RenderCall, values: Mapping[str, Json]
) -> dict[str, Json]:
    """Return by name what the templates come to: of the team's outputs, or of a step's own.

    Names of outputs and inputs are people's: what a template is for is told by whose it is.
    """
    if call.step is None:
        return {name: _rendered(text, values) for name, text in plan.team.outputs.items()}
    match spec:
        case ApprovalStep():
            return {QUESTION: _question(spec.ask, values)}
        case TeamStep():
            return {name: _rendered(text, values) for name, text in spec.inputs.items()}
        case AgentStep():
            prompt = spec.prompt_template if call.prompt is None else call.prompt
            return {PROMPT: _prompt(prompt, values)}
    raise _final(f"step {call.step} has no templates")


def _question(text: str, values: Mapping[str, Json]) -> str:
    """Render what a person is asked: a text, whatever it reads, empty where that is missing."""
    asked = _rendered(text, values)
    return "" if asked is None else templates.text_of(asked)


def _prompt(text: str, values: Mapping[str, Json]) -> str:
    """Render what an agent is told; what it needs and does not find is final."""
    try:
        return templates.render(templates.parse(text), values)
    except templates.TemplateError as error:
        raise _final(str(error)) from None


def _whole(values: Mapping[str, Json], form: str) -> Json:
    """Return many values as one, as the form says."""
    if form == "object":
        return dict(values)
    ordered = [values[name] for name in sorted(values)]
    return [item for part in ordered for item in part] if form == "chain" else ordered


def _kind(value: Json) -> str:
    names = {dict: "an object", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _rendered(text: Json, values: Mapping[str, Json]) -> Json:
    """Render a template; what a lone reference leads to keeps its type, other JSON is itself."""
    if not isinstance(text, str):
        return text
    template = templates.parse(text)
    names = template.references
    if len(names) == 1 and template.literal_bytes == 0:
        return templates.value_of(names[0], values)
    try:
        return templates.render(template, values)
    except templates.TemplateError:
        return None


def _number(value: Decimal) -> float:
    return float(value)


def _final(message: str) -> ApplicationError:
    return ApplicationError(message, type=FailureKind.INTERNAL, non_retryable=True)
