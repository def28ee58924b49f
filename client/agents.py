"""Agents become artifacts, those that are another's tools first, with what a workflow needs."""

from client.step_needs import rates_of
from contracts.agents import AgentSpec
from contracts.artifacts import ArtifactRef
from contracts.plans import AgentDraft, AgentHeader
from contracts.tools import AgentTool
from stores.artifacts import ArtifactStore


async def store_draft(store: ArtifactStore, draft: AgentDraft) -> AgentHeader:
    """Store a planned agent and those of its tools. Raises the store's errors."""
    children = {name: await store_draft(store, child) for name, child in draft.children.items()}
    agent, execution = draft.plan.agent, draft.plan.agent.execution
    return AgentHeader(
        name=agent.name,
        plan=await store.put_json(draft.plan),
        agent=await store.put_json(_with_agents(agent, children)),
        candidates=tuple(c.model_copy(update={"options": {}}) for c in draft.plan.candidates),
        retry=draft.retry,
        node=draft.node,
        budget=agent.budget.session,
        on_budget=agent.budget.on_budget,
        max_calls=execution.max_turns,
        turn_timeout=execution.turn_timeout,
        argument_repairs=execution.argument_repairs,
        max_parallel_tools=execution.max_parallel_tools,
        approval_timeout=execution.approval_timeout,
        compact_over_bytes=execution.compact_over_bytes,
        file_rates=rates_of(draft.plan.candidates),
        queues=tuple(dict.fromkeys(tool.queue for tool in agent.tools)),
        children={name: await store.put_json(child) for name, child in children.items()},
    )


async def store_header(store: ArtifactStore, draft: AgentDraft) -> ArtifactRef:
    """Store a planned agent, its header too. Raises the store's errors."""
    return await store.put_json(await store_draft(store, draft))


def _with_agents(agent: AgentSpec, children: dict[str, AgentHeader]) -> AgentSpec:
    """Return an agent whose `agent` tools refer to theirs."""
    tools = tuple(
        tool.model_copy(update={"agent": children[tool.name].agent})
        if isinstance(tool, AgentTool) and tool.name in children
        else tool
        for tool in agent.tools
    )
    return agent.model_copy(update={"tools": tools})
