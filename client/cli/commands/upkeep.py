"""The place itself: who would answer, what is stored, what is missing."""

from typing import Annotated

import typer

from client.cli.commands.options import AsJson

PANEL = "Keep house"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def personas(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="What speaks against each.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who would answer for which persona."""
    from client.cli.inspecting import show_personas

    raise typer.Exit(show_personas(name, explain=explain, as_json=as_json))


@app.command(rich_help_panel=PANEL)
def doctor() -> None:
    """Check Python, server, keys, prices and storage; say what to do."""
    from client.cli.doctor import examine

    raise typer.Exit(examine())


@app.command(rich_help_panel=PANEL)
def gc(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")
    ] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="How long ended runs are kept.")
    ] = "30d",
    forget: Annotated[
        str | None,
        typer.Option("--forget-server", metavar="ID", help="That server of the store is gone."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Delete stored data that no run needs: none that goes on or ended within --older-than.

    Answers, prompts, conversations, plans, records and streams of older runs go; what was stored
    within a day stays in any case. AGE is a number with m, h, d or w. Ctrl-C is safe at any time.
    Exit codes: 0 done, 1 something could not be deleted, 2 nothing was deleted, and why.
    """
    from client.cli.collecting import Asked, collect

    raise typer.Exit(collect(Asked(older_than, dry_run, forget, as_json)))
