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
AgentName = Annotated[str, typer.Argument(metavar="AGENT", help="An agent of the run's team.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the run's history.")
]
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
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="About what: texts, PDF, images, sound."),
    ] = None,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", "-p", metavar="TEXT", help="A further question; repeatable."),
    ] = None,
    provider: ProviderName = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Only this model.")
    ] = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The same as --provider simulated.")
    ] = False,
    persona: Annotated[
        str | None, typer.Option("--persona", metavar="NAME", help="Who answers.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", metavar="TEXT", help="The system prompt.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Of each answer; 4096 if not given.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option("--budget", metavar="DOLLARS", help="Ask nothing that could cost more."),
    ] = None,
    upload: Annotated[
        bool, typer.Option("--upload", help="Upload the files, or fail: none is sent inline.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the cache at the vendor for an hour.")
    ] = False,
    reuse: Annotated[
        float,
        typer.Option("--reuse", min=0, metavar="SECONDS", help="Take an answer that is no older."),
    ] = 0.0,
    at_once: Annotated[
        int | None, typer.Option("--at-once", min=1, help="So many questions at a time.")
    ] = None,
    as_json: AsJson = False,
    yes: Yes = False,
) -> None:
    """Ask about files. Several questions share one upload and one cache of them."""
    from client.cli.asked import Question
    from client.cli.asking import ask_question
    from client.cli.running import Manner

    if simulated and provider not in (None, "simulated"):
        raise typer.BadParameter("--simulated and --provider name two providers")
    asked = Question(
        prompts=(question, *(prompts or ())),
        files=files or (),
        provider="simulated" if simulated else provider,
        model=model,
        persona=persona,
        system=system,
        max_tokens=max_tokens,
        budget=budget,
        upload=upload,
        keep=keep,
        reuse_s=reuse,
        at_once=at_once,
    )
    raise typer.Exit(ask_question(asked, Manner(as_json=as_json, yes=yes)))


@app.command()
def demo(provider: ProviderName = None, yes: Yes = False, as_json: AsJson = False) -> None:
    """Watch a team of agents review a licence, simulated unless --provider names a real one."""
    from client.cli.running import run_demo

    raise typer.Exit(run_demo(provider, yes=yes, as_json=as_json))


@app.command()
def chat(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The agent, a YAML file.")
    ] = None,
    session: Annotated[
        str | None, typer.Option("--session", "-s", metavar="ID", help="Come back to this one.")
    ] = None,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="MODEL or PROVIDER/MODEL, not the file's."),
    ] = None,
    max_messages: Annotated[
        int, typer.Option("--max-messages", min=1, help="A warning comes at 80 % of them.")
    ] = 50,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what tools are given and give.")
    ] = False,
    show_list: Annotated[bool, typer.Option("--list", help="List the conversations.")] = False,
) -> None:
    """Talk to an agent; the conversation can be come back to.

    Piped text is said line by line, and the answers go to stdout. Exit codes: 0 left, 1 there
    was no answer, 2 usage or configuration, 3 a tool call waits for a person, 130 interrupted.
    """
    from client.cli import chatting

    if show_list:
        raise typer.Exit(chatting.list_chats(20))
    if file is None:
        raise typer.BadParameter("give the agent's file, or --list", param_hint="FILE")
    wanted = chatting.ChatWanted(file, session, provider, simulation, model, max_messages, verbose)
    raise typer.Exit(chatting.chat(wanted))


@app.command()
def dev(
    port: Annotated[int | None, typer.Option("--port", help="Of the server; 0: any.")] = None,
    ui_port: Annotated[int | None, typer.Option("--ui-port", help="Of the UI; 0: any.")] = None,
) -> None:
    """Server, UI and worker until Ctrl-C; goes on with open runs."""
    from client.cli.serving import serve

    raise typer.Exit(serve(port, ui_port))


@app.command("list")
def list_runs(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List the latest runs."""
    from client.cli import looking

    raise typer.Exit(looking.list_runs(limit, as_json=as_json))


@app.command()
def status(name: RunName, as_json: AsJson = False) -> None:
    """Show how each agent of a run is doing."""
    from client.cli import looking

    raise typer.Exit(looking.show_status(name, as_json=as_json))


@app.command()
def watch(name: RunName, follow: Follow = None, as_json: AsJson = False) -> None:
    """Follow a run to its answer; Ctrl-C leaves it alone."""
    from client.cli import looking

    raise typer.Exit(looking.watch(name, follow, as_json=as_json))


@app.command()
def cancel(name: RunName) -> None:
    """End a run: calls under way are stopped and settled."""
    from client.cli import commanding

    raise typer.Exit(commanding.cancel(name))


@app.command()
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


@app.command()
def budget(
    name: RunName,
    to: Annotated[str, typer.Option("--raise", metavar="DOLLARS", help="The new total.")],
) -> None:
    """Raise a run's budget; one that waits for money goes on."""
    from client.cli import commanding

    raise typer.Exit(commanding.raise_budget(name, to))


@app.command()
def approve(
    name: RunName,
    step: Annotated[str | None, typer.Argument(metavar="[AGENT]")] = None,
    choice: Annotated[str, typer.Argument(metavar="[CHOICE]")] = "approve",
    comment: Annotated[str, typer.Option("--comment", metavar="TEXT")] = "",
) -> None:
    """Answer what a run asks a person."""
    from client.cli import commanding

    raise typer.Exit(commanding.approve(name, step, choice, comment))


@app.command()
def skip(name: RunName, agent: AgentName, reason: Reason = "") -> None:
    """Leave out an agent that has not started, and what needs it."""
    from client.cli import commanding

    raise typer.Exit(commanding.skip(name, agent, reason))


@app.command()
def retry(name: RunName, agent: AgentName, reason: Reason = "") -> None:
    """Run an agent that has failed again, and what was skipped because of it."""
    from client.cli import commanding

    raise typer.Exit(commanding.retry(name, agent, reason))


@app.command()
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


@app.command()
def pause(name: RunName) -> None:
    """Let a run start no further call; those under way go on."""
    from client.cli import commanding

    raise typer.Exit(commanding.pause(name, paused=True))


@app.command()
def resume(name: RunName) -> None:
    """Let a paused run go on."""
    from client.cli import commanding

    raise typer.Exit(commanding.pause(name, paused=False))


@app.command("export-history")
def export_history(
    name: RunName,
    file: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE")] = None,
) -> None:
    """Write a run's Temporal history as JSON."""
    from client.cli import looking

    raise typer.Exit(looking.export_history(name, file))


@app.command()
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


@app.command()
def personas(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="What speaks against each.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show who would answer for which persona."""
    from client.cli.inspecting import show_personas

    raise typer.Exit(show_personas(name, explain=explain, as_json=as_json))


@app.command()
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


@app.command()
def doctor() -> None:
    """Check Python, server, keys, prices and storage; say what to do."""
    from client.cli.doctor import examine

    raise typer.Exit(examine())


def _version(wanted: bool) -> None:
    if wanted:
        import tomllib

        project = tomllib.loads((Path(__file__).parent / "pyproject.toml").read_text())
        print(f"callboard {project['project']['version']}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


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
