"""The agent on Temporal's plugin for the OpenAI Agents SDK; its tool is an activity."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Replayer, Worker

with workflow.unsafe.imports_passed_through():
    from agents import Agent, Model, ModelProvider, ModelResponse, Runner, Usage
    from openai.types.responses import (
        ResponseFunctionToolCall,
        ResponseOutputMessage,
        ResponseOutputText,
    )
    from temporalio.openai_agents import ModelActivityParameters, OpenAIAgentsPlugin
    from temporalio.openai_agents.workflow import activity_as_tool

    from benchmarks.transcripts import story


class StubModel(Model):
    """Asks for the next entry, or says that it is done; at once."""

    async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> Any:
        """Answer a conversation."""
        asked = input if isinstance(input, str) else input[0]["content"]
        items = [] if isinstance(input, str) else input
        read = sum(item.get("type") == "function_call_output" for item in items)
        path = story.next_path(asked, read)
        prompt, completion = story.USAGE
        usage = Usage(
            requests=1,
            input_tokens=prompt,
            output_tokens=completion,
            total_tokens=prompt + completion,
        )
        return ModelResponse(output=[_output(path, read)], usage=usage, response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> Any:
        """Not asked for."""
        raise NotImplementedError


def _output(path: str | None, read: int) -> Any:
    if path is not None:
        return ResponseFunctionToolCall(
            arguments=f'{{"path":"{path}"}}',
            call_id=story.call_id(read),
            name=story.TOOL,
            type="function_call",
            id=f"fc_{read}",
            status="completed",
        )
    text = ResponseOutputText(text=story.answer(read), annotations=[], type="output_text")
    return ResponseOutputMessage(
        id=f"msg_{read}", content=[text], role="assistant", status="completed", type="message"
    )


class StubProvider(ModelProvider):
    """Gives the model."""

    def get_model(self, model_name: str | None) -> Model:
        """Return the model, whatever its name."""
        return StubModel()


@activity.defn(name=story.TOOL)
async def read_file(path: str) -> str:
    """Read a file."""
    return story.entry(path)


def plugin() -> OpenAIAgentsPlugin:
    """Return the plugin with the model."""
    return OpenAIAgentsPlugin(
        model_params=ModelActivityParameters(start_to_close_timeout=timedelta(seconds=60)),
        model_provider=StubProvider(),
    )


@workflow.defn(name="transcript_agent")
class OpenAIAgent:
    """One agent, one question."""

    @workflow.run
    async def run(self, asked: str) -> int:
        """Answer; return the number of model calls."""
        tool = activity_as_tool(read_file, start_to_close_timeout=timedelta(seconds=60))
        agent = Agent(name="reader", instructions=story.INSTRUCTIONS, tools=[tool])
        result = await Runner.run(agent, asked, max_turns=10_000)
        return len(result.raw_responses)


@contextlib.asynccontextmanager
async def working(address: str, queue: str) -> AsyncIterator[None]:
    """Work on a queue."""
    client = await Client.connect(address, plugins=[plugin()])
    async with Worker(client, task_queue=queue, workflows=[OpenAIAgent], activities=[read_file]):
        yield


def replayer() -> Replayer:
    """Return what replays its histories."""
    return Replayer(workflows=[OpenAIAgent], plugins=[plugin()])


if __name__ == "__main__":
    from benchmarks.transcripts.peers import openai_agent
    from benchmarks.transcripts.serving import serve

    serve(openai_agent.working, openai_agent.replayer)
