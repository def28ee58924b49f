"""The engine of seed 004: agents, workflows, and one object that runs them durably.

    engine = OrchestrationEngine(llm_client, EngineConfig())
    workflow_id = await engine.register_workflow(workflow)
    workflow = await engine.execute_workflow(workflow_id)

Each name is as the seed writes it; a run is the same as `starter.py run` makes.
"""

from client.engine.agents import Agent, AgentResult
from client.engine.configuring import EngineConfig
from client.engine.costs import CostConfig, CostTracker
from client.engine.engine import OrchestrationEngine
from client.engine.failures import FailureHandler, RetryPolicy
from client.engine.limiting import RateLimitConfig, RateLimiter
from client.engine.monitoring import Monitor, MonitorConfig
from client.engine.workflows import Workflow
from contracts.retry import RetryStrategy
from contracts.teams import AgentStatus, WorkflowStatus
from providers.spi import LLMClient, LLMResponse

__all__ = [
    "Agent",
    "AgentResult",
    "AgentStatus",
    "CostConfig",
    "CostTracker",
    "EngineConfig",
    "FailureHandler",
    "LLMClient",
    "LLMResponse",
    "Monitor",
    "MonitorConfig",
    "OrchestrationEngine",
    "RateLimitConfig",
    "RateLimiter",
    "RetryPolicy",
    "RetryStrategy",
    "Workflow",
    "WorkflowStatus",
]
