"""Arguments and options that several commands take, each said once."""

from pathlib import Path
from typing import Annotated

import typer

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="The id of a run or a conversation, a unique beginning of it, or last; "
        "RUN/STEP for a team within a run.",
    ),
]
TeamPath = Annotated[Path, typer.Argument(metavar="FILE", help="The team, a YAML file.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", "-i", metavar="NAME=VALUE", help="An input; NAME=@FILE reads it."),
]
InputsFile = Annotated[
    Path | None, typer.Option("--inputs", metavar="FILE", help="Inputs as a JSON object.")
]
ProviderName = Annotated[
    str | None,
    typer.Option("--provider", metavar="NAME", help="Only this provider; 'simulated' is free."),
]
SimulationPath = Annotated[
    Path | None,
    typer.Option("--simulation", metavar="FILE", help="How the simulated provider behaves."),
]
Budget = Annotated[
    str | None, typer.Option("--budget", metavar="DOLLARS", help="Instead of cost_budget.")
]
AsJson = Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="An agent of the run's team.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the run's history.")
]
Follow = Annotated[
    str | None, typer.Option("--follow", metavar="AGENT", help="Whose text to show.")
]
