"""The worker's provider clients: one per (provider, model, options), shared, closed at the end."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping

from activities.own_client import Limiter, TranslatedClient
from contracts.plans import Candidate
from providers import registry
from providers.account_limits import AccountLimits
from providers.spi import LLMClient


class Clients(ABC):
    """Gives the client that serves a candidate."""

    @abstractmethod
    def client(self, candidate: Candidate) -> LLMClient:
        """Return the client. Raises a ProviderError or RouterError that names the cure."""

    async def admit(self, call: str, candidate: Candidate, tokens: int) -> float:
        """Return the seconds until a call of about so many tokens may be made; 0.0 for now.

        The first question books a turn under the call's name, the answer 0.0 uses it up: the call
        counts as open until it `ended`, or is given back. Raises a RouterError for a call that no
        wait would let pass, LimitsUnreachable.
        """
        return 0.0

    async def ended(  # noqa: B027
        self, call: str, candidate: Candidate, used: int | None
    ) -> None:
        """Say that a call has ended, with the tokens that it used (None: not known)."""

    async def give_back(self, call: str, candidate: Candidate) -> None:  # noqa: B027
        """Say that a call is not made after all, whether it waits or may be made."""

    async def aclose(self) -> None:  # noqa: B027
        """Give back connections, if there are any."""


class RegisteredClients(Clients):
    """Clients of the providers that this worker has keys for.

    `limits` are those of the provider accounts, by provider; they are closed with the clients.
    """

    def __init__(self, limits: Mapping[str, AccountLimits] | None = None) -> None:
        self._limits = dict(limits or {})
        self._made: dict[tuple[str, str, str], LLMClient] = {}

    def client(self, candidate: Candidate) -> LLMClient:
        options = json.dumps(candidate.options, sort_keys=True, default=str)
        key = (candidate.provider, candidate.model, options)
        if key not in self._made:
            self._made[key] = registry.create(
                candidate.provider, candidate.model, dict(candidate.options)
            )
        return self._made[key]

    async def admit(self, call: str, candidate: Candidate, tokens: int) -> float:
        limits = self._limits.get(candidate.provider)
        return await limits.admit(call, tokens) if limits else 0.0

    async def ended(self, call: str, candidate: Candidate, used: int | None) -> None:
        if limits := self._limits.get(candidate.provider):
            await limits.ended(call, used)

    async def give_back(self, call: str, candidate: Candidate) -> None:
        if limits := self._limits.get(candidate.provider):
            await limits.give_back(call)

    async def aclose(self) -> None:
        made, self._made = self._made, {}
        closing = [client.aclose() for client in made.values()]
        closing += [limits.aclose() for limits in self._limits.values()]
        found = await asyncio.gather(*closing, return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException):
                raise error


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
