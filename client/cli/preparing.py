"""From the command line to a plan: file, inputs, provider. Everything is checked before anything
starts, and nothing here needs a server.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.cli.console import Refusal
from client.cli.session import LAST, RUN_ID
from client.cli.spelling import cap
from config.inputs import InputValue, as_stored, parse_inputs
from config.problems import KeyPath, did_you_mean
from config.settings import Settings
from config.teamfile import LoadedTeam, load_team
from contracts.money import misfit
from contracts.plans import Plan
from contracts.retry import RetryRule
from contracts.teams import TeamSpec
from rules.foresight import Given

if TYPE_CHECKING:
    from client.planning import PlanError

SIMULATED = "simulated"


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line."""

    file: Path
    inputs: Sequence[str] = ()
    inputs_file: Path | None = None
    provider: str | None = None
    simulation: Path | None = None
    budget: str | None = None
    run_id: str | None = None
    follow: str | None = None
    base: Path = field(default_factory=Path)


@dataclass(frozen=True)
class Prepared:
    """A team with its inputs, checked. `notes` are for its author, `lines` those of its file."""

    wanted: Wanted
    team: TeamSpec
    inputs: dict[str, InputValue]
    notes: tuple[str, ...]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """The inputs' sizes in bytes."""
        return {name: len(value.data) for name, value in self.inputs.items()}

    @property
    def given(self) -> dict[str, Given]:
        """What the run will have of its inputs: those given, and the defaults of others."""
        defaults = {
            name: as_stored(spec.default, spec.type)
            for name, spec in self.team.inputs.items()
            if not spec.required
        }
        known = defaults | self.inputs
        return {name: Given.of(value.value, len(value.data)) for name, value in known.items()}


def prepare(settings: Settings, wanted: Wanted, *, need_inputs: bool = True) -> Prepared:
    """Load the file and the inputs. Raises Refusal, ConfigError, InputError."""
    if not wanted.file.exists():
        raise Refusal(f"{wanted.file}: no such file")
    _check_run_id(wanted.run_id)
    loaded = load_team(wanted.file, cost_budget=settings.cost_budget)
    team = _with_budget(loaded.team, wanted.budget)
    _check_follow(team, wanted.follow)
    given = need_inputs or wanted.inputs or wanted.inputs_file
    inputs = parse_inputs(team, wanted.inputs, wanted.base, wanted.inputs_file) if given else {}
    return Prepared(wanted, team, inputs, _notes(loaded, wanted, settings), loaded.lines)


def make_plan(
    settings: Settings, prepared: Prepared, served: Collection[str] | None = None
) -> Plan:
    """Resolve personas and prices. `served` names the providers that workers elsewhere poll for.

    Raises Refusal, PlanError, RouterError.
    """
    from client.planning import PlanError, Planner
    from providers.router import PersonaRouter

    wanted = prepared.wanted
    if wanted.provider is not None:
        check_provider(wanted.provider, served)
    router = PersonaRouter(
        settings.persona_policy, settings.capabilities, prices=settings.price_overrides()
    )
    planner = Planner(
        router,
        provider=wanted.provider,
        simulation=simulation(wanted.simulation),
        retry=RetryRule(),
        served=served,
    )
    try:
        return planner.plan(prepared.team, prepared.sizes, wanted.file, given=prepared.given)
    except PlanError as error:
        raise PlanError(_placed(error, prepared), error.steps) from None


def _placed(error: "PlanError", prepared: Prepared) -> list[str]:
    """Return a plan's problems with the line of the step that each is of."""
    if len(error.steps) != len(error.problems):
        return error.problems
    at = {step.name: number for number, step in enumerate(prepared.team.agents)}
    placed = []
    for name, problem in zip(error.steps, error.problems, strict=True):
        step: KeyPath = ("agents", at[name])
        undefined = "persona" in problem and "is not defined" in problem
        key = (*step, "persona") if undefined else step
        line = prepared.lines.get(key) or prepared.lines.get(step)
        placed.append(f"{prepared.wanted.file}:{line}: {problem}" if line else problem)
    return placed


def check_provider(provider: str, served: Collection[str] | None = None) -> None:
    """Refuse a provider that does not exist or cannot be used here."""
    from providers import registry

    if served is not None and provider in served:
        return
    if provider not in registry.names():
        known = ", ".join(registry.names())
        hint = did_you_mean(provider, registry.names())
        raise Refusal(f"--provider {provider}: there is no such provider.{hint} Known: {known}")
    found = registry.availability(provider)
    if isinstance(found, registry.Missing):
        raise Refusal(f"--provider {provider}: {found}")
    if served is not None:
        raise Refusal(
            f"--provider {provider}: no worker serves it. Start one: python worker.py {provider}"
        )


def simulation(path: Path | None) -> dict[str, Any]:
    """Return the simulator's options of a file. Raises Refusal."""
    if path is None:
        return {}
    from providers.simulation.faults import Simulation

    refuse_absent(path, "--simulation ")
    return Simulation.load(path).options()


def refuse_absent(path: Path, flag: str = "") -> None:
    """Raise Refusal where there is no file of that name."""
    if path.is_dir() or not path.exists():
        why = "is a directory, not a file" if path.is_dir() else "no such file"
        raise Refusal(f"{flag}{path}: {why}")


def dollars(text: str, flag: str) -> Decimal:
    """Return an amount that was written on the command line. Raises Refusal."""
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    wrong = misfit(amount)
    if wrong is not None:
        raise Refusal(f"{flag} {text}: {wrong}")
    return amount


def _with_budget(team: TeamSpec, budget: str | None) -> TeamSpec:
    if budget is None:
        return team
    return team.model_copy(update={"cost_budget": dollars(budget, "--budget")})


def _check_run_id(run_id: str | None) -> None:
    if run_id is not None and RUN_ID.fullmatch(run_id) is None:
        raise Refusal(
            f"--run-id {run_id}: letters, digits, '.', '_' and '-', 200 at most, and a letter or "
            "a digit first"
        )
    if run_id == LAST:
        raise Refusal(f"--run-id {LAST}: commands take it for the latest run; choose another id")


def _check_follow(team: TeamSpec, agent: str | None) -> None:
    names = [step.name for step in team.agents]
    if agent is not None and agent not in names:
        hint = did_you_mean(agent, names) or f" There are: {', '.join(names[:20])}."
        raise Refusal(f"--follow {agent}: no such agent.{hint}")


def _notes(loaded: LoadedTeam, wanted: Wanted, settings: Settings) -> tuple[str, ...]:
    notes = list(loaded.notes)
    if ("cost_budget",) not in loaded.lines and wanted.budget is None:
        notes.append(
            f"the file has no cost_budget: the default of {cap(settings.cost_budget)} "
            "(CALLBOARD_COST_BUDGET) is the most that the run can spend"
        )
    return tuple(notes)
