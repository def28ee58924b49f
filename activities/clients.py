"""The worker's provider clients: one per (provider, model, options), shared, closed at the end."""

import json
from abc import ABC, abstractmethod

from activities.own_client import Limiter, TranslatedClient
from contracts.plans import Candidate
from providers import registry
from providers.spi import LLMClient


class Clients(ABC):
    """Gives the client that serves a candidate."""

    @abstractmethod
    def client(self, candidate: Candidate) -> LLMClient:
        """Return the client. Raises a ProviderError or RouterError that names the cure."""

    async def admit(self, call: str, candidate: Candidate, tokens: int) -> float:
        """Return the seconds until a call of about so many tokens may be made; 0.0 for now.

        The first question books a turn under the call's name, the answer 0.0 uses it up. Raises a
        RouterError for a call that no wait would let pass.
        """
        return 0.0

    async def aclose(self) -> None:  # noqa: B027
        """Give back connections, if there are any."""


class RegisteredClients(Clients):
    """Clients of the providers that this worker has keys for."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str, str], LLMClient] = {}

    def client(self, candidate: Candidate) -> LLMClient:
        options = json.dumps(candidate.options, sort_keys=True, default=str)
        key = (candidate.provider, candidate.model, options)
        if key not in self._made:
            self._made[key] = registry.create(
                candidate.provider, candidate.model, dict(candidate.options)
            )
        return self._made[key]

    async def aclose(self) -> None:
        made, self._made = self._made, {}
        for client in made.values():
            await client.aclose()


class OwnClient(Clients):
    """A caller's own client object, served by the process that holds it.

    It stays open: whoever made it closes it.
    """

    def __init__(self, client: LLMClient, limiter: Limiter | None = None) -> None:
        self._client = client
        self._limiter = limiter

    def client(self, candidate: Candidate) -> LLMClient:
        return TranslatedClient(self._client, candidate, self._limiter)

    async def admit(self, call: str, candidate: Candidate, tokens: int) -> float:
        return self._limiter.admit(call, tokens) if self._limiter else 0.0
