"""Tell a run what a person decided."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.commands.options import AgentName, Reason, RunName

PANEL = "Steer"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def approve(
    name: RunName,
    step: Annotated[str | None, typer.Argument(metavar="[AGENT]")] = None,
    choice: Annotated[str, typer.Argument(metavar="[CHOICE]")] = "approve",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT")] = "",
) -> None:
    """Answer what a run asks a person."""
    from client.cli import commanding

    raise typer.Exit(commanding.approve(name, step, choice, comment))


@app.command(rich_help_panel=PANEL)
def budget(
    name: RunName,
    to: Annotated[str, typer.Option("--raise", metavar="DOLLARS", help="The new total.")],
) -> None:
    """Raise a run's budget; one that waits for money goes on."""
    from client.cli import commanding

    raise typer.Exit(commanding.raise_budget(name, to))


@app.command(rich_help_panel=PANEL)
def pause(name: RunName) -> None:
    """Let a run start no further call; those under way go on."""
    from client.cli import commanding

    raise typer.Exit(commanding.pause(name, paused=True))


@app.command(rich_help_panel=PANEL)
def resume(name: RunName) -> None:
    """Let a paused run go on."""
    from client.cli import commanding

    raise typer.Exit(commanding.pause(name, paused=False))


@app.command(rich_help_panel=PANEL)
def skip(name: RunName, agent: AgentName, reason: Reason = "") -> None:
    """Leave out an agent that has not started, and what needs it."""
    from client.cli import commanding

    raise typer.Exit(commanding.skip(name, agent, reason))


@app.command(rich_help_panel=PANEL)
def retry(name: RunName, agent: AgentName, reason: Reason = "") -> None:
    """Run an agent that has failed again, and what was skipped because of it."""
    from client.cli import commanding

    raise typer.Exit(commanding.retry(name, agent, reason))


@app.command(rich_help_panel=PANEL)
def edit(
    name: RunName,
    agent: AgentName,
    prompt: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="The new prompt.")
    ] = None,
    prompt_file: Annotated[
        Path | None, typer.Option("--prompt-file", metavar="FILE", help="A file with it; -: stdin.")
    ] = None,
) -> None:
    """Give an agent another prompt: one that has not started, or failed and runs again."""
    from client.cli import commanding

    raise typer.Exit(commanding.edit(name, agent, prompt, prompt_file))


@app.command(rich_help_panel=PANEL)
def cancel(name: RunName) -> None:
    """End a run: calls under way are stopped and settled."""
    from client.cli import commanding

    raise typer.Exit(commanding.cancel(name))
