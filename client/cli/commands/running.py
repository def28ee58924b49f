"""Start work: a team, and what it would cost."""

from typing import Annotated

import typer

from client.cli.commands.options import (
    AsJson,
    Budget,
    Follow,
    Inputs,
    InputsFile,
    ProviderName,
    SimulationPath,
    TeamPath,
    Yes,
)

PANEL = "Run"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
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


@app.command(rich_help_panel=PANEL)
def demo(provider: ProviderName = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Watch a team of agents review a licence, simulated unless --provider names a real one."""
    from client.cli.running import run_demo

    raise typer.Exit(run_demo(provider, yes=yes, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def plan(
    file: TeamPath,
    inputs: Inputs = None,
    inputs_file: InputsFile = None,
    provider: ProviderName = None,
    budget: Budget = None,
    max_cost: Annotated[
        str | None,
        typer.Option("--max-cost", metavar="DOLLARS", help="Exit 2 if a run could cost more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show whom each agent would ask and what a run could cost; runs nothing."""
    from client.cli.planned import show_plan
    from client.cli.preparing import Wanted

    wanted = Wanted(file, inputs or (), inputs_file, provider, budget=budget)
    raise typer.Exit(show_plan(wanted, as_json=as_json, max_cost=max_cost))


@app.command(rich_help_panel=PANEL)
def dev(
    port: Annotated[int | None, typer.Option("--port", help="Of the server; 0: any.")] = None,
    ui_port: Annotated[int | None, typer.Option("--ui-port", help="Of the UI; 0: any.")] = None,
) -> None:
    """Server, UI and worker until Ctrl-C; goes on with open runs."""
    from client.cli.serving import serve

    raise typer.Exit(serve(port, ui_port))
