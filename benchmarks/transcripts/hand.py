"""The agent as one would write it by hand in bare Temporal, passing references.

The same: converter, modules passed through Temporal's sandbox, model, artifact store and
transcripts, one activity a model call and one a tool call, a heartbeat before the request and one
a second, the same timeouts, summaries.

Left out, beside Callboard: no ledger, no reservations and no bill, no fallback, no rules for
failures (Temporal retries a paid call up to three times), no limits, no check of a prompt's size,
no spool (nobody can watch), no tool events, no check of arguments, no cutting or cleaning of
results, no approvals, no time limit of a turn, no settling of a cancelled call, no messages to a
conversation under way, no queries.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from benchmarks._beating import heartbeats

with workflow.unsafe.imports_passed_through():
    from pydantic import BaseModel

    from benchmarks.transcripts import story
    from benchmarks.transcripts.clocks import Watched, as_it_is
    from contracts.artifacts import ArtifactRef
    from contracts.messages import ChatRequest, Message, ToolDefinition


APART = "-apart"
"""What a queue's name ends in where models and tools have queues of their own, as Callboard's."""


class Told(BaseModel):
    """A message that the stored conversation does not have yet: a text, or a reference to one."""

    role: str = "user"
    text: str | None = None
    ref: ArtifactRef | None = None
    tool: str | None = None
    call_id: str | None = None


class Question(BaseModel):
    """A call of the model: the conversation so far, and what is new."""

    transcript: ArtifactRef | None
    told: tuple[Told, ...]


class Asked(BaseModel):
    """A tool call that the model asks for."""

    id: str
    tool: str
    path: str


class Answer(BaseModel):
    """The conversation with the answer, and what it asks for."""

    transcript: ArtifactRef
    asked: tuple[Asked, ...]
    prompt_tokens: int
    completion_tokens: int


class Result(BaseModel):
    """What a tool gave."""

    ref: ArtifactRef


TOOLS = [
    ToolDefinition(
        story.TOOL,
        story.DESCRIPTION,
        schema={
            "type": "object",
            "properties": {"path": {"type": "string"}},
            "required": ["path"],
        },
    )
]


class Work:
    """The activities."""

    def __init__(self, home: str) -> None:
        from benchmarks.transcripts.stub import StubModel
        from stores.artifacts import ArtifactStore
        from stores.transcripts import Transcripts

        self._store = ArtifactStore.open(home)
        self._transcripts = Transcripts(self._store)
        self._model = StubModel()

    @activity.defn(name="hand_ask")
    async def ask(self, question: Question) -> Answer:
        """Ask the model; store the conversation with its answer."""
        from providers.spi import Timeouts

        before = await self._transcripts.read(question.transcript) if question.transcript else []
        new = [await self._message(told) for told in question.told]
        request = ChatRequest(
            [*before, *new], max_tokens=256, system=story.INSTRUCTIONS, tools=TOOLS
        )
        stream = self._model.open(request, Timeouts.of(300))
        activity.heartbeat()
        async with heartbeats(), stream:
            reply = await stream.collect()
        said = Message("assistant", reply.text, tool_calls=tuple(reply.tool_calls))
        usage = reply.usage
        return Answer(
            transcript=await self._transcripts.append(question.transcript, [*new, said]),
            asked=tuple(
                Asked(id=call.id, tool=call.name, path=call.arguments["path"])
                for call in reply.tool_calls
            ),
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
        )

    @activity.defn(name="hand_read")
    async def read(self, asked: Asked) -> Result:
        """Read an entry into the store."""
        async with heartbeats():
            text = await asyncio.to_thread(story.entry, asked.path)
            return Result(ref=await self._store.put_text(text))

    async def _message(self, told: Told) -> Message:
        content = told.text if told.ref is None else await self._store.get_text(told.ref)
        return Message(
            told.role,  # type: ignore[arg-type]
            content or "",
            name=told.tool,
            tool_call_id=told.call_id,
        )


@workflow.defn(name="transcript_agent")
class HandAgent:
    """One agent, one question."""

    @workflow.run
    async def run(self, asked: str) -> int:
        """Answer; return the number of model calls."""
        transcript: ArtifactRef | None = None
        told: tuple[Told, ...] = (Told(text=asked),)
        calls = 0
        while True:
            calls += 1
            answer = await workflow.execute_activity_method(
                Work.ask,
                Question(transcript=transcript, told=told),
                task_queue=_queue("model"),
                start_to_close_timeout=timedelta(seconds=360),
                heartbeat_timeout=timedelta(seconds=5),
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary=f"call {calls}",
            )
            transcript = answer.transcript
            if not answer.asked:
                return calls
            told = tuple(await asyncio.gather(*(self._read(one) for one in answer.asked)))

    async def _read(self, asked: Asked) -> Told:
        result = await workflow.execute_activity_method(
            Work.read,
            asked,
            task_queue=_queue("tools"),
            start_to_close_timeout=timedelta(seconds=45),
            heartbeat_timeout=timedelta(seconds=5),
            retry_policy=RetryPolicy(maximum_attempts=3),
            summary=f"{asked.tool} · {asked.id}",
        )
        return Told(role="tool", ref=result.ref, tool=asked.tool, call_id=asked.id)


def _queue(part: str) -> str | None:
    """Return where a part of the work is done: None for the workflow's own queue.

    Activities of the workflow's own queue start without a way through the server. Where models
    and tools have workers of their own (keys, limits), they cannot.
    """
    own = workflow.info().task_queue
    return f"{own}.{part}" if own.endswith(APART) else None


@contextlib.asynccontextmanager
async def working(address: str, queue: str) -> AsyncIterator[None]:
    """Work on a queue."""
    from worker import HEARTBEAT_THROTTLE

    client = await Client.connect(address, data_converter=pydantic_data_converter)
    work = Work(os.environ["BENCHMARK_HOME"])
    async with contextlib.AsyncExitStack() as stack:
        for name in [f"{queue}.model", f"{queue}.tools"] if queue.endswith(APART) else []:
            apart = Worker(
                client,
                task_queue=name,
                activities=[work.ask, work.read],
                max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            )
            await stack.enter_async_context(apart)
        await stack.enter_async_context(
            Worker(
                client,
                task_queue=queue,
                workflows=[HandAgent],
                activities=[work.ask, work.read],
                workflow_runner=_sandbox(),
                max_heartbeat_throttle_interval=HEARTBEAT_THROTTLE,
            )
        )
        yield


def _sandbox() -> SandboxedWorkflowRunner:
    """Return Temporal's own sandbox, with the same modules passed through it as Callboard's."""
    from worker import PASSED_THROUGH

    restrictions = SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
    return SandboxedWorkflowRunner(restrictions=restrictions)


def replayer(watched: Watched = as_it_is) -> Replayer:
    """Return what replays its histories."""
    return Replayer(
        workflows=[HandAgent],
        workflow_runner=watched(_sandbox()),
        data_converter=pydantic_data_converter,
    )


if __name__ == "__main__":
    from benchmarks.transcripts import hand
    from benchmarks.transcripts.serving import serve

    serve(hand.working, hand.replayer)
