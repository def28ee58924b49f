"""Callboard's command line. `python starter.py --help` lists the commands.

No logic of its own: each command imports what it needs when it is called, so that help and
mistakes cost nothing. stdout carries the result, stderr the progress. Exit codes: 0 done, 1 the
run failed, 2 usage or configuration, 3 waiting for a person, 130 interrupted.
"""

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Runs teams of LLM agents that survive crashes and never spend more than they were given.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run's id, a unique beginning of it, or last.")
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
Follow = Annotated[
    str | None, typer.Option("--follow", metavar="AGENT", help="Whose text to show.")
]


@app.command()
def run(
    file: TeamPath,
    inputs: Inputs = None,
    inputs_file: InputsFile = None,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    budget: Budget = None,
    run_id: Annotated[
        str | None,
        typer.Option("--run-id", metavar="ID", help="The same id twice is the same run."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Start it and print its id.")] = False,
    as_json: AsJson = False,
    yes: Yes = False,
    follow: Follow = None,
) -> None:
    """Run a team and follow it to its answer."""
    from client.cli.preparing import Wanted
    from client.cli.running import Manner, run_team

    wanted = Wanted(file, inputs or (), inputs_file, provider, simulation, budget, run_id, follow)
    raise typer.Exit(run_team(wanted, Manner(detach, as_json, yes)))


@app.command()
def demo(provider: ProviderName = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Watch a team of agents review a licence, simulated unless --provider names a real one."""
    from client.cli.running import run_demo

    raise typer.Exit(run_demo(provider, yes=yes, as_json=as_json))


def main() -> None:
    """Run the command line, and leave cleanly."""
    code = 1
    try:
        from client.cli.console import guarded

        code = guarded(_command)
    finally:
        # The Temporal SDK's threads may crash an interpreter that exits by itself.
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _command() -> int:
    try:
        app()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    return 0


if __name__ == "__main__":
    main()
