"""What a run's providers can do beside answering: each is asked once."""

import asyncio

from contracts.calls import CallFailure
from contracts.execution import Capabilities
from contracts.execution_calls import Asked
from contracts.plans import Candidate
from workflows.effects import Effects
from workflows.state import RunState


class Vendors:
    """The providers of one run, as what is shared there asks for them."""

    def __init__(self, state: RunState, effects: Effects) -> None:
        self._state, self._effects = state, effects
        self._able: dict[str, asyncio.Task[Capabilities | CallFailure]] = {}

    async def capabilities(self, candidate: Candidate) -> Capabilities:
        """Ask a provider once what it can do; one that does not say can do nothing more."""
        task = self._able.get(candidate.provider)
        if task is None:
            asked = self.asked(candidate.provider, candidate.model)
            task = asyncio.create_task(self._effects.capabilities(asked))
            self._able[candidate.provider] = task
        found = await asyncio.shield(task)
        return Capabilities() if isinstance(found, CallFailure) else found

    def asked(self, provider: str, model: str = "") -> Asked:
        """Return the address of an effect; without a model, for any that the run has there."""
        named = model or next(
            one.model for one in self._state.header.candidates if one.provider == provider
        )
        return Asked(execution_id=self._state.request.run_id, provider=provider, model=named)

    def open_tasks(self) -> "list[asyncio.Task[Capabilities | CallFailure]]":
        """Return the questions that were asked, for who has to end them."""
        return list(self._able.values())
