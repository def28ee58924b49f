"""An agent that was loaded becomes one artifact, the agents among its tools first."""

from config.agentfile import LoadedAgent
from contracts.artifacts import ArtifactRef
from contracts.tools import AgentTool, ToolSpec
from stores.artifacts import ArtifactStore


async def store_agent(store: ArtifactStore, loaded: LoadedAgent) -> ArtifactRef:
    """Store the agent, its `agent` tools by reference to theirs. Raises the store's errors."""
    tools: list[ToolSpec] = []
    for tool in loaded.agent.tools:
        child = loaded.children.get(tool.name)
        if isinstance(tool, AgentTool) and child is not None:
            ref = await store_agent(store, child)
            tools.append(tool.model_copy(update={"agent": ref}))
        else:
            tools.append(tool)
    return await store.put_json(loaded.agent.model_copy(update={"tools": tuple(tools)}))
