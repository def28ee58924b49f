"""The agent on Pydantic AI's Temporal durability."""

import contextlib
from collections.abc import AsyncIterator

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Replayer, Worker

with workflow.unsafe.imports_passed_through():
    from pydantic_ai import Agent
    from pydantic_ai.durable_exec.temporal import (
        PydanticAIPlugin,
        PydanticAIWorkflow,
        TemporalDurability,
    )
    from pydantic_ai.messages import (
        ModelMessage,
        ModelResponse,
        TextPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )
    from pydantic_ai.models.function import AgentInfo, FunctionModel
    from pydantic_ai.usage import RequestUsage, UsageLimits

    from benchmarks.transcripts import story


async def stub(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Ask for the next entry, or say that it is done; at once."""
    parts = [part for message in messages for part in message.parts]
    asked = next(part.content for part in parts if isinstance(part, UserPromptPart))
    read = sum(isinstance(part, ToolReturnPart) for part in parts)
    path = story.next_path(str(asked), read)
    prompt, completion = story.USAGE
    usage = RequestUsage(input_tokens=prompt, output_tokens=completion)
    if path is None:
        return ModelResponse([TextPart(story.answer(read))], usage=usage)
    return ModelResponse(
        [ToolCallPart(story.TOOL, {"path": path}, story.call_id(read))], usage=usage
    )


agent = Agent(
    FunctionModel(stub),
    name="reader",
    instructions=story.INSTRUCTIONS,
    capabilities=[TemporalDurability()],
)


@agent.tool_plain
async def read_file(path: str) -> str:
    """Read a file."""
    return story.entry(path)


@workflow.defn(name="transcript_agent")
class PydanticAgent(PydanticAIWorkflow):
    """One agent, one question."""

    __pydantic_ai_agents__ = [agent]

    @workflow.run
    async def run(self, asked: str) -> int:
        """Answer; return the number of model calls."""
        result = await agent.run(asked, usage_limits=UsageLimits(request_limit=None))
        return result.usage.requests if hasattr(result.usage, "requests") else 0


@contextlib.asynccontextmanager
async def working(address: str, queue: str) -> AsyncIterator[None]:
    """Work on a queue."""
    client = await Client.connect(address, plugins=[PydanticAIPlugin()])
    async with Worker(client, task_queue=queue, workflows=[PydanticAgent]):
        yield


def replayer() -> Replayer:
    """Return what replays its histories."""
    return Replayer(workflows=[PydanticAgent], plugins=[PydanticAIPlugin()])


if __name__ == "__main__":
    from benchmarks.transcripts.peers import pydantic_agent
    from benchmarks.transcripts.serving import serve

    serve(pydantic_agent.working, pydantic_agent.replayer)
