"""Callboard's worker with the model in it, and the agent as a conversation is started with it."""

import contextlib
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Replayer

from benchmarks._candidates import priced
from benchmarks.transcripts import story
from benchmarks.transcripts.clocks import Watched, as_it_is
from benchmarks.transcripts.stub import StubClients
from client.agent_plans import plan_own
from client.encryption import data_converter
from config.agentfile import LoadedAgent
from config.settings import Settings
from contracts.agents import AgentBudget, AgentModel, AgentSpec
from contracts.chats import AgentHeader
from contracts.retry import RetryRule
from contracts.teams import ModelParams
from contracts.tools import BuiltinTool, Effect
from stores.artifacts import ArtifactStore
from worker import WORKFLOWS, settle_memory, workers, workflow_runner

PROVIDER = "stub"
BUDGET = Decimal(1000)


async def header(store: ArtifactStore, folder: Path, turns: int, effect: Effect) -> AgentHeader:
    """Store the agent, whose tool has that effect; return what a conversation is started with."""
    agent = AgentSpec(
        name="reader",
        instructions=story.INSTRUCTIONS,
        model=AgentModel(provider=PROVIDER, params=ModelParams(max_tokens=256)),
        tools=(
            BuiltinTool(
                name=story.TOOL,
                description=story.DESCRIPTION,
                builtin="read_file",
                root=str(folder),
                effect=effect,
            ),
        ),
        budget=AgentBudget(session=BUDGET, turn=BUDGET),
    )
    candidate = priced(PROVIDER, "stub")
    planned = plan_own(
        LoadedAgent(agent, folder / "agent.yaml", {}), lambda _: candidate, RetryRule()
    )
    made = await planned.stored(store)
    return made.model_copy(update={"max_calls": turns + 1, "turn_timeout": 3600.0})


@contextlib.asynccontextmanager
async def working(address: str, queue: str) -> AsyncIterator[None]:
    """Work on a queue, and on those of the model and of the tools."""
    client = await Client.connect(address, data_converter=data_converter())
    settings = Settings(home=Path(os.environ["BENCHMARK_HOME"]))
    async with workers(client, settings, [PROVIDER], StubClients(), workflow_queue=queue):
        settle_memory()  # as a worker does that was started by its command
        yield


def replayer(watched: Watched = as_it_is) -> Replayer:
    """Return what replays its histories."""
    return Replayer(
        workflows=WORKFLOWS,
        workflow_runner=watched(workflow_runner()),
        data_converter=data_converter(),
    )


if __name__ == "__main__":
    from benchmarks.transcripts.serving import serve

    serve(working, replayer)
