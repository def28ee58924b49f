"""Personas to providers (seeds 000 and 001): who serves, who is next, and why.

`select_provider` goes by the policy alone: the first preference that covers what the persona
requires. `candidates` is the whole ordered list for a run: every fitting (provider, model) by
capability, window, price, key and SDK, each provider's best first, then their further models,
then the candidates of `{persona}_openai` where the policy has that persona. `get_client` is the
in-process way: the selected provider, or the next preference where that one cannot be used here.
`explain` gives the reasons. Nothing is sent, and no vendor's SDK is imported before a client of
it is made.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from contracts.messages import ChatRequest
from contracts.plans import PersonaProfile
from providers import registry
from providers.candidates import (
    Explanation,
    Needs,
    RoutedCandidate,
    Verdict,
    lacking,
    request_capabilities,
    requirements,
)
from providers.capabilities import CapabilityTable, load_capabilities
from providers.exceptions import NoProviderError, Unavailable
from providers.policy import Policy, load_policy
from providers.pricing import Overrides
from providers.search import Catalogue, Search
from providers.spi import LLMClient

__all__ = ["Explanation", "Needs", "PersonaRouter", "RoutedCandidate", "Verdict"]

_log = logging.getLogger(__name__)


class PersonaRouter:
    """Chooses providers for personas by a policy file.

    `policy_path` and `capabilities_path` default to `docs/persona_policy.yaml` and
    `docs/capabilities.yaml` of the working folder, else to the shipped ones. `prices` go before
    the policy's own. `env` defaults to the process's environment. Raises `RouterError` for a
    file that cannot be used.
    """

    def __init__(
        self,
        policy_path: str | Path | None = None,
        capabilities_path: str | Path | None = None,
        *,
        prices: Overrides | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        policy, path = load_policy(policy_path)
        own = dict(prices or {})
        self._catalogue = Catalogue(
            policy=policy,
            path=path,
            table=load_capabilities(capabilities_path),
            prices={**own, **{k: price for k, price in policy.prices.items() if k not in own}},
            env=os.environ if env is None else env,
        )
        self._clients: dict[tuple[str, str], LLMClient] = {}

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._catalogue.policy

    @property
    def policy_path(self) -> Path:
        """The file that the policy came from."""
        return self._catalogue.path

    @property
    def capabilities(self) -> CapabilityTable:
        """The capability table in force."""
        return self._catalogue.table

    def profile(self, persona: str) -> PersonaProfile:
        """Return what a persona adds to each of its calls. Raises `PersonaNotFoundError`."""
        return self._catalogue.persona(persona).profile(persona)

    def select_provider(self, persona: str) -> str:
        """Return the first preferred provider that covers the persona's requirements.

        Raises `PersonaNotFoundError` or `NoProviderError`; both are also `ValueError`.
        """
        return self._covering(persona, None)[0]

    def get_client(self, persona: str, request: ChatRequest | None = None) -> LLMClient:
        """Return a client of the persona's provider; given a request, of one that can serve it.

        Where the selected provider cannot be used here (no key, no SDK), the next preference
        that can is taken, and a warning logged. Raises `Unavailable` (a `ProviderError`) with
        each one's cure when none can; `PersonaNotFoundError` and `NoProviderError` as
        `select_provider`. Clients are shared; `aclose` gives their connections back.
        """
        wanted = self._catalogue.persona(persona)
        needed = requirements(wanted, request, Needs())
        missing: list[str] = []
        for provider in self._covering(persona, request):
            found = registry.availability(provider, self._catalogue.env)
            if isinstance(found, registry.Missing):
                missing.append(f"{provider}: {found}")
                continue
            model = self._catalogue.first_model(wanted, provider, needed)
            try:
                client = self._client(provider, model)
            except Unavailable as error:  # found out only when its SDK was loaded
                missing.append(str(error))
                continue
            if missing:
                _log.warning("persona %s is served by %s. %s", persona, provider, missing[0])
            return client
        raise Unavailable(
            f"persona {persona!r}: no provider can be used here. {'; '.join(missing)}"
        )

    def candidates(
        self, persona: str, request: ChatRequest | None = None, needs: Needs | None = None
    ) -> list[RoutedCandidate]:
        """Return all that may serve, in the order in which they are to be tried.

        Raises `PersonaNotFoundError`, or `NoProviderError` telling what each one lacks.
        """
        found = self._search(persona, request, needs or Needs())
        if not found.taken:
            told = "\n".join(f"  {verdict.line()}" for verdict in found.verdicts)
            raise NoProviderError(
                f"no provider satisfies what persona {persona!r} and its request need "
                f"({', '.join(found.needed.capabilities) or 'no capability'}):\n{told}"
            )
        return found.taken

    def explain(
        self, persona: str, request: ChatRequest | None = None, needs: Needs | None = None
    ) -> Explanation:
        """Tell for every provider and model why it was taken or not."""
        found = self._search(persona, request, needs or Needs())
        order = {(c.provider, c.model): rank for rank, c in enumerate(found.taken, start=1)}
        verdicts = [
            Verdict(v.provider, v.model, v.reasons, v.notes, order.get((v.provider, v.model)))
            for v in found.verdicts
        ]
        seen = {verdict.provider for verdict in verdicts}
        verdicts += [
            Verdict(provider, "", ("not among the persona's preferences",))
            for provider in self.policy.providers
            if provider not in seen
        ]
        return Explanation(persona, found.needed.capabilities, tuple(verdicts))

    async def aclose(self) -> None:
        """Give back the connections of all clients handed out. Safe to call twice."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def _client(self, provider: str, model: str) -> LLMClient:
        key = (provider, model)
        if key not in self._clients:
            self._clients[key] = registry.create(provider, model, env=self._catalogue.env)
        return self._clients[key]

    def _covering(self, name: str, request: ChatRequest | None) -> list[str]:
        """Return the preferences whose declared capabilities cover persona and request."""
        persona = self._catalogue.persona(name)
        wanted = dict.fromkeys(persona.requires, "")
        wanted |= request_capabilities(request) if request is not None else {}
        preferences = self._catalogue.preferences(persona)
        lacks = {p: lacking(wanted, self._catalogue.declared(p)) for p in preferences}
        found = [provider for provider in preferences if not lacks[provider]]
        if found:
            return found
        told = "; ".join(f"{p} lacks {', '.join(missing)}" for p, missing in lacks.items())
        raise NoProviderError(
            f"no provider satisfies the requirements of persona {name!r} "
            f"({', '.join(wanted) or 'none'}): {told or 'no provider is declared'}. "
            f"Add a provider that does to its provider_preferences in {self._catalogue.path}"
        )

    def _search(self, persona: str, request: ChatRequest | None, needs: Needs) -> Search:
        needed = requirements(self._catalogue.persona(persona), request, needs)
        found = Search(self._catalogue, needed, needs)
        pinned = needs.model or (request.model if request is not None else None)
        found.look(persona, pinned)
        further = f"{persona}_openai"
        if needs.provider is None and further in self.policy.personas:
            found.look(further, pinned, why=f"fallback persona {further}")
        return found
