"""From a team as written to a plan that can be paid: personas resolved, candidates priced.

Everything is decided before the run starts: for each model step the ordered candidates, each
checked for capability, window, price and key, those named as fallbacks in the same way. What was
not as preferred is said in one line each (`Plan.notes`).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client.affording import unaffordable
from client.step_needs import capabilities, file_tokens, modalities
from config.problems import ConfigError
from config.teamfile import load_team
from contracts.files import INLINE_BYTES, MOST_BYTES, AttachedFile
from contracts.plans import AgentDraft, AgentForm, Candidate, PersonaProfile, Plan
from contracts.queues import provider_queue
from contracts.retry import RetryRule
from contracts.teams import AgentStep, FallbackSpec, ModelStep, TeamSpec, TeamStep
from providers import media, registry
from providers.capabilities import CachingFacts, ProviderEntry
from providers.exceptions import NoProviderError, RouterError
from providers.router import Needs, PersonaRouter, RoutedCandidate
from rules.foresight import Given
from rules.teaminputs import never_fits

DEFAULT_PERSONA = "code_writer"
"""Serves a step that names none; its only requirement is a system prompt."""

SIMULATED = "simulated"


class PlanError(Exception):
    """A team that cannot be run as it is; `problems` has one each.

    `steps` names the step that each problem is of, where they are of steps.
    """

    def __init__(self, problems: Iterable[str], steps: Sequence[str] = ()) -> None:
        self.problems = list(problems)
        self.steps = tuple(steps)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True)
class Planner:
    """How personas are resolved.

    `provider` keeps to one provider. "simulated" stands in for all: each candidate keeps its
    model's name and price and is served by the simulator with `simulation` as its options.
    `served` names the providers whose queues are polled, where workers elsewhere hold the keys;
    None means the worker of this machine.
    """

    router: PersonaRouter
    provider: str | None = None
    simulation: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryRule = field(default_factory=RetryRule)
    served: Collection[str] | None = None

    def plan(
        self,
        team: TeamSpec,
        input_sizes: Mapping[str, int],
        source: Path | None = None,
        parents: tuple[Path, ...] = (),
        given: Mapping[str, Given] | None = None,
    ) -> Plan:
        """Return the plan of a team for inputs of these sizes in bytes.

        `source` is the team's file: teams within it are looked up beside it. `given` are the
        inputs that are known by now. Raises PlanError with every step's problem: nobody fits,
        unknown persona or price, a budget that cannot pay a first step's worst case, a team that
        contains itself.
        """
        chain = (*parents, source.resolve()) if source else parents
        found = _Found()
        for step in team.agents:
            try:
                match step:
                    case TeamStep():
                        found.children[step.name] = self._child(step, chain)
                    case AgentStep():
                        self._take_agent(team, step, chain, found)
                    case ModelStep():
                        self._take_model(team, step, found)
            except (PlanError, ConfigError, RouterError) as error:
                kind = "team" if isinstance(step, TeamStep) else "agent"
                found.problems[step.name] = f"{kind} {step.name}: {error}"
        if found.problems:
            raise PlanError(found.problems.values(), list(found.problems))
        plan = self._plan_of(team, found)
        problems = list(unaffordable(plan, input_sizes, given))
        if problems:
            raise PlanError(problems)
        return plan

    def _plan_of(self, team: TeamSpec, found: "_Found") -> Plan:
        shared = team.shared_context.files if team.shared_context else ()
        return Plan(
            team=_with_limits(team, found.agents),
            candidates=tuple(found.candidates),
            step_candidates=found.by_step,
            personas=found.personas,
            retry=self.retry,
            notes=(*found.notes, *(n for child in found.children.values() for n in child.notes)),
            children=found.children,
            agents=found.agents,
            agent_forms=found.forms,
            file_tokens=found.sizes,
            shared_tokens=tuple(file_tokens(shared, one) for one in found.candidates)
            if shared
            else (),
        )

    def _take_model(self, team: TeamSpec, step: ModelStep, found: "_Found") -> None:
        """Add a model step: who may serve it with all that it sends."""
        sending, lasts = step, None
        if step.shared_context and team.shared_context is not None:
            files = (*team.shared_context.files, *step.files)
            sending = step.model_copy(update={"files": files})
            lasts = team.shared_context.lasts
        try:
            chosen = self._candidates(sending, found.notes, lasts)
            found.personas |= self._profile(step)
        except RouterError as error:
            raise PlanError([f"{error}{self._takers(sending, error)}"]) from None
        found.add(step.name, chosen, sending.files)

    def _take_agent(
        self, team: TeamSpec, step: AgentStep, chain: tuple[Path, ...], found: "_Found"
    ) -> None:
        """Add an agent within the team, planned as it is anywhere else."""
        from client.agent_plans import plan_agent  # which plans an agent as a team of one step
        from config.agentfile import load_agent

        if not chain:
            raise PlanError([f"{step.file} is looked up beside the team's file, and there is none"])
        shared = team.shared_context if step.shared_context else None
        planned = plan_agent(load_agent(chain[-1].parent / step.file), self, shared)
        found.notes.update({f"agent {step.name}: {note}": None for note in planned.notes})
        found.agents[step.name] = draft = planned.draft()
        if shared is not None:
            found.forms[step.name] = planned.form
            found.add(step.name, draft.plan.candidates, shared.files)
        found.add(step.name, _asked_by(draft))

    def _child(self, step: TeamStep, chain: tuple[Path, ...]) -> Plan:
        """Return the plan of a team within a team."""
        if not chain:
            raise PlanError([f"{step.file} is looked up beside the team's file, and there is none"])
        path = (chain[-1].parent / step.file).resolve()
        if path in chain:
            names = [link.name for link in (*chain[chain.index(path) :], path)]
            raise PlanError([f"the teams contain each other: {' → '.join(names)}"])
        loaded = load_team(path)
        given = set(step.inputs)
        unknown = sorted(given - set(loaded.team.inputs))
        missing = sorted(
            name
            for name, spec in loaded.team.inputs.items()
            if spec.required and spec.default is None and name not in given
        )
        told = [f"{step.file} has no input {name}" for name in unknown]
        told += [f"{step.file} needs the input {name}" for name in missing]
        for name, value in step.inputs.items():
            wrong = never_fits(loaded.team.inputs[name], value) if name not in unknown else None
            told += [f"the input {name} of {step.file} {wrong}"] if wrong else []
        if told:
            raise PlanError(["; ".join(told)])
        return self.plan(loaded.team, {}, path, chain)

    def _profile(self, step: ModelStep) -> dict[str, PersonaProfile]:
        if step.persona is None:
            return {}
        return {step.persona: self.router.profile(step.persona)}

    def _takers(self, step: ModelStep, error: RouterError) -> str:
        """Say who would take a step's files, where nobody fits."""
        kinds = modalities(step)
        if not kinds or not isinstance(error, NoProviderError):
            return ""
        named = ", ".join(f.name for f in step.files if media.modality(f.mime_type) in kinds)
        takers = ", ".join(media.takers(self.router.capabilities, kinds)) or "none that is known"
        return f"\n  its files: {named}; these would take them: {takers}"

    def _candidates(
        self, step: ModelStep, notes: dict[str, None], lasts: float | None = None
    ) -> list[Candidate]:
        """Return a step's candidates: its own first, then those of its fallbacks, each once."""
        persona = step.persona or DEFAULT_PERSONA
        found = self._route(persona, step, FallbackSpec(model=step.llm_config.model), lasts)
        if self.provider is None and self._local:
            self._note_absent(persona, found[0], notes)
        for fallback in step.fallback:
            try:
                further = self._route(fallback.persona or persona, step, fallback, lasts)
                found = [*found, *further]
            except NoProviderError as error:
                notes[f"agent {step.name}: a fallback is left out: {error}"] = None
        chosen: dict[tuple[str, str], Candidate] = {}
        for routed in self._keeping(step, self._in_order(step, found)):
            for note in routed.notes if self._local else ():
                notes[f"{routed.provider}/{routed.model}: {note}"] = None
            candidate = self._candidate(routed)
            chosen.setdefault((candidate.provider, candidate.model), candidate)
        return list(chosen.values())

    def _keeping(
        self, step: ModelStep, found: Sequence[RoutedCandidate]
    ) -> Sequence[RoutedCandidate]:
        """Keep those that the step's files can be uploaded to, where a request cannot hold them."""
        small = sum(file.size_bytes for file in step.files if not file.large)
        size = sum(file.size_bytes for file in step.files)
        if size <= INLINE_BYTES:
            return found
        if small > INLINE_BYTES or size > MOST_BYTES:
            raise NoProviderError(
                f"its files and the shared context have {size:,} bytes together: {INLINE_BYTES:,} "
                f"can be sent, {MOST_BYTES:,} uploaded"
            )
        kinds = {media.modality(file.mime_type) for file in step.files if file.large}
        keeping = [one for one in found if kinds <= set(self._entry(one).uploads)]
        if not keeping:
            asked = [SIMULATED] if self.provider == SIMULATED else [c.provider for c in found]
            names = ", ".join(dict.fromkeys(asked))
            raise NoProviderError(
                f"its files have {size:,} bytes, more than a request of {INLINE_BYTES:,} holds, "
                f"and cannot be uploaded to {names} ({', '.join(sorted(kinds))})"
            )
        return keeping

    def _entry(self, routed: RoutedCandidate) -> ProviderEntry:
        """Return what is known of the provider that is really asked."""
        simulated = SIMULATED in (self.provider, routed.provider)
        return self.router.capabilities.entry(SIMULATED if simulated else routed.provider)

    def _caching(self, routed: RoutedCandidate) -> CachingFacts:
        """Return how the provider that is really asked caches the model's prefixes."""
        simulated = SIMULATED in (self.provider, routed.provider)
        provider = SIMULATED if simulated else routed.provider
        return self.router.capabilities.caching(provider, routed.model)

    def _route(
        self, persona: str, step: ModelStep, wanted: FallbackSpec, lasts: float | None
    ) -> list[RoutedCandidate]:
        simulated = self.provider == SIMULATED
        needs = Needs(
            capabilities=capabilities(step),
            output_tokens=step.llm_config.max_tokens or 0,
            provider=wanted.provider if simulated or wanted.provider else self.provider,
            model=wanted.model,
            available_only=self._local,
            modalities=modalities(step),
            cache_lasts_s=lasts,
        )
        found = self.router.candidates(persona, needs=needs)
        if self.served is None or simulated:
            return found
        kept = [c for c in found if c.provider in self.served]
        if not kept:
            absent = dict.fromkeys(c.provider for c in found)
            raise NoProviderError(
                "no worker serves any of its providers: " + "; ".join(map(_unserved, absent))
            )
        return kept

    @property
    def _local(self) -> bool:
        """Whether this process's own keys decide who can be asked."""
        return self.provider != SIMULATED and self.served is None

    def _in_order(
        self, step: ModelStep, found: Sequence[RoutedCandidate]
    ) -> Sequence[RoutedCandidate]:
        """Put what the file names as fallbacks right behind the first choice."""
        named = {(f.provider, f.model) for f in step.fallback if f.provider and f.model}
        listed = [c for c in found[1:] if (c.provider, c.model) in named]
        rest = [c for c in found[1:] if (c.provider, c.model) not in named]
        kept = [found[0], *listed, *rest]
        if self.provider in (None, SIMULATED):
            return kept
        own = [c for c in kept if c.provider == self.provider]
        if not own:
            raise NoProviderError(f"{self.provider} does not fit")
        return own

    def _note_absent(self, persona: str, taken: RoutedCandidate, notes: dict[str, None]) -> None:
        """Say in one line what was chosen where a preferred provider is absent."""
        for provider in self.router.policy.personas[persona].provider_preferences:
            if provider == taken.provider:
                return
            status = registry.availability(provider)
            if isinstance(status, registry.Missing):
                line = f"{persona}: {taken.provider} {taken.model} instead of {provider} ({status})"
                notes[line] = None

    def _candidate(self, routed: RoutedCandidate) -> Candidate:
        profile, entry, caching = routed.profile, self._entry(routed), self._caching(routed)
        simulated = self.provider == SIMULATED or routed.provider == SIMULATED
        provider = SIMULATED if simulated else routed.provider
        return Candidate(
            provider=provider,
            model=routed.model,
            queue=provider_queue(provider),
            price=routed.price,
            context_window=profile.context_window,
            max_output_tokens=profile.max_output_tokens,
            overhead_tokens=0 if simulated else profile.overhead_tokens,
            can_prefill=profile.prefill,
            can_resume=profile.resume and not simulated,
            counts_tokens=profile.counts_tokens,
            caching=caching.kind,
            cache_floor=caching.floor,
            uncached=caching.kind == "none",
            assumed=() if caching.stated else ("cache_floor",),
            uploads=entry.uploads if entry.default_model else None,
            options=dict(self.simulation) if simulated else {},
            why=f"simulated, as {routed.provider}" if simulated else routed.why,
        )


@dataclass
class _Found:
    """What was found out of a team's steps, by their names, and what is wrong with them.

    `by_step` are indexes of `candidates`, `sizes` the most tokens that a step's files take.
    """

    candidates: list[Candidate] = field(default_factory=list)
    by_step: dict[str, tuple[int, ...]] = field(default_factory=dict)
    personas: dict[str, PersonaProfile] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    forms: dict[str, AgentForm] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)
    children: dict[str, Plan] = field(default_factory=dict)
    agents: dict[str, AgentDraft] = field(default_factory=dict)

    def add(
        self, name: str, chosen: Iterable[Candidate], files: Iterable[AttachedFile] = ()
    ) -> None:
        """Note who may serve a step, and how large the files are that it sends."""
        listed, sent = list(chosen), tuple(files)
        self.by_step[name] = tuple(_index(self.candidates, one) for one in listed)
        if sent:
            self.sizes[name] = max(file_tokens(sent, one) for one in listed)


def _asked_by(draft: AgentDraft) -> list[Candidate]:
    """Return all whom an agent may ask, its tools included: the bill looks for them here."""
    inner = (candidate for child in draft.children.values() for candidate in _asked_by(child))
    return [*draft.plan.candidates, *inner]


def _with_limits(team: TeamSpec, agents: Mapping[str, AgentDraft]) -> TeamSpec:
    """Return a team whose agents have the limits of their own files where it gives none."""
    if not agents:
        return team
    steps = tuple(
        step.model_copy(update={"cost_limit": agents[step.name].plan.agent.budget.turn})
        if isinstance(step, AgentStep) and step.cost_limit is None
        else step
        for step in team.agents
    )
    return team.model_copy(update={"agents": steps})


def _index(candidates: list[Candidate], candidate: Candidate) -> int:
    if candidate not in candidates:
        candidates.append(candidate)
    return candidates.index(candidate)


def _unserved(provider: str) -> str:
    """Say what a worker needs for a provider whose queue nobody polls."""
    status = registry.availability(provider)
    if isinstance(status, registry.Missing):
        return f"{provider} (here: {status})"
    return f"{provider} (start a worker that has its key: python worker.py {provider})"
