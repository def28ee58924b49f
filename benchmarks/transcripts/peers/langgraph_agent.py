"""The agent on Temporal's LangGraph plugin: a graph of two nodes, each an activity."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, Worker

with workflow.unsafe.imports_passed_through():
    from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
    from langchain_core.messages.ai import UsageMetadata
    from langgraph.graph import END, START, MessagesState, StateGraph
    from temporalio.langgraph import LangGraphPlugin, graph

    from benchmarks.transcripts import story


async def call_model(state: MessagesState) -> dict[str, list[AnyMessage]]:
    """Ask the model."""
    messages = state["messages"]
    read = sum(_field(message, "type") == "tool" for message in messages)
    path = story.next_path(str(_field(messages[0], "content")), read)
    prompt, completion = story.USAGE
    usage = UsageMetadata(
        input_tokens=prompt, output_tokens=completion, total_tokens=prompt + completion
    )
    if path is None:
        return {"messages": [AIMessage(story.answer(read), usage_metadata=usage)]}
    call = {"name": story.TOOL, "args": {"path": path}, "id": story.call_id(read)}
    return {"messages": [AIMessage("", tool_calls=[call], usage_metadata=usage)]}


async def call_tools(state: MessagesState) -> dict[str, list[AnyMessage]]:
    """Call what the last message asks for."""
    return {
        "messages": [
            ToolMessage(story.entry(call["args"]["path"]), tool_call_id=call["id"])
            for call in _field(state["messages"][-1], "tool_calls")
        ]
    }


async def after_model(state: MessagesState) -> str:
    """Return the next node."""
    return "tools" if _field(state["messages"][-1], "tool_calls") else END


def _field(message: Any, name: str) -> Any:
    """Read a message: the plugin hands nodes the JSON that it was stored as."""
    return message.get(name) if isinstance(message, dict) else getattr(message, name, None)


def plugin() -> LangGraphPlugin:
    """Return the plugin with the graph."""
    made = StateGraph(MessagesState)
    made.add_node("model", call_model, metadata={"execute_in": "activity"})
    made.add_node("tools", call_tools, metadata={"execute_in": "activity"})
    made.add_edge(START, "model")
    made.add_conditional_edges("model", after_model)
    made.add_edge("tools", "model")
    return LangGraphPlugin(
        graphs={"reader": made},
        default_activity_options={"start_to_close_timeout": timedelta(seconds=60)},
    )


@workflow.defn(name="transcript_agent")
class LangGraphAgent:
    """One agent, one question."""

    @workflow.run
    async def run(self, asked: str) -> int:
        """Answer; return the number of model calls."""
        app = graph("reader").compile()
        result = await app.ainvoke({"messages": [HumanMessage(asked)]}, {"recursion_limit": 10_000})
        return sum(_field(message, "type") == "ai" for message in result["messages"])


@contextlib.asynccontextmanager
async def working(address: str, queue: str) -> AsyncIterator[None]:
    """Work on a queue."""
    client = await Client.connect(address, data_converter=pydantic_data_converter)
    async with Worker(client, task_queue=queue, workflows=[LangGraphAgent], plugins=[plugin()]):
        yield


def replayer() -> Replayer:
    """Return what replays its histories."""
    return Replayer(
        workflows=[LangGraphAgent], plugins=[plugin()], data_converter=pydantic_data_converter
    )


if __name__ == "__main__":
    from benchmarks.transcripts.peers import langgraph_agent
    from benchmarks.transcripts.serving import serve

    serve(langgraph_agent.working, langgraph_agent.replayer)
