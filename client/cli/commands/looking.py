"""See what runs do and did."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.commands.options import AsJson, Follow, RunName

PANEL = "Look"

app = typer.Typer()


@app.command("list", rich_help_panel=PANEL)
def list_runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest runs."""
    from client.cli import looking

    raise typer.Exit(looking.list_runs(limit, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def status(name: RunName, as_json: AsJson = False) -> None:
    """Show how each agent of a run is doing."""
    from client.cli import looking

    raise typer.Exit(looking.show_status(name, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def watch(name: RunName, follow: Follow = None, as_json: AsJson = False) -> None:
    """Follow a run to its answer, a conversation as it goes on; Ctrl-C leaves it alone."""
    from client.cli import looking

    raise typer.Exit(looking.watch(name, follow, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def bill(
    name: RunName,
    agent: Annotated[
        str | None,
        typer.Argument(metavar="[AGENT]", help="One agent, item or attempt, in all detail."),
    ] = None,
    formulas: Annotated[
        bool, typer.Option("--formulas", help="How the cost of each call came about.")
    ] = False,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Compute it all again; exit 1 if it differs.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="A line per call, as CSV.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what every attempt used and cost, and at which price."""
    from client.cli.bills import show_bill

    code = show_bill(
        name, agent, as_json=as_json, as_csv=as_csv, formulas=formulas, recompute=recompute
    )
    raise typer.Exit(code)


@app.command("export-history", rich_help_panel=PANEL)
def export_history(
    name: RunName,
    file: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE")] = None,
) -> None:
    """Write a run's Temporal history as JSON; where it has several, FILE.1, FILE.2, … beside it."""
    from client.cli.exporting import export_history as export

    raise typer.Exit(export(name, file))
