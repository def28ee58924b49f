"""The engine of seed 004, as its complete example has it: one agent, one workflow, its bill.

    python examples/engine.py               with OPENAI_API_KEY or EP_OPENAI_API_KEY
    python examples/engine.py --simulated   offline, without a key

The embedded Temporal server is started on the way, unless one is configured.
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from client.engine import (
    Agent,
    CostConfig,
    EngineConfig,
    LLMClient,
    MonitorConfig,
    OrchestrationEngine,
    RateLimitConfig,
    RetryPolicy,
    Workflow,
)
from providers.openai_adapter import OpenAIClient
from providers.simulated import SimulatedClient


async def main(llm_client: LLMClient | None = None) -> None:
    # Initialize client
    llm_client = llm_client or OpenAIClient()

    # Configure engine
    config = EngineConfig(
        rate_limit_config=RateLimitConfig(requests_per_minute=60),
        cost_config=CostConfig(),
        monitor_config=MonitorConfig(),
        default_retry_policy=RetryPolicy(max_retries=3),
    )

    # Create engine
    engine = OrchestrationEngine(llm_client, config)

    # Define workflow
    agent = Agent(
        name="analyzer",
        module="Finance",
        description="Analyze data",
        llm_config={"model": "gpt-4"},
        prompt_template="Analyze...",
    )

    workflow = Workflow(
        name="analysis",
        description="Data analysis",
        agents=[agent],
        cost_budget=5.0,
    )

    # Execute
    wf_id = await engine.register_workflow(workflow)
    result = await engine.execute_workflow(wf_id)

    # Get results
    print(f"Status: {result.status.value}")
    print(f"Cost: ${result.total_cost:.4f}")

    # Get system status
    status = engine.get_system_status()
    print(f"Total calls: {status['rate_limiting']['total_requests']}")


if __name__ == "__main__":
    asyncio.run(main(SimulatedClient("gpt-4") if "--simulated" in sys.argv[1:] else None))
