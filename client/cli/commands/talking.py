"""Ask and converse."""

from pathlib import Path
from typing import Annotated

import typer

from client.cli.commands.options import AsJson, ProviderName, SimulationPath, Yes

PANEL = "Talk"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
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


@app.command(rich_help_panel=PANEL)
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


@app.command("test", rich_help_panel=PANEL)
def run_tests(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Agents, YAML files.")],
    cases: Annotated[
        list[str] | None,
        typer.Option("--case", metavar="NAME", help="Only this case, or its pattern; repeatable."),
    ] = None,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=100, help="So many cases at once.")
    ] = 4,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="MODEL or PROVIDER/MODEL, not the file's."),
    ] = None,
    threshold: Annotated[
        float,
        typer.Option("--threshold", min=0, max=1, help="The share of cases that has to pass."),
    ] = 1.0,
    approve: Annotated[
        bool, typer.Option("--approve", help="Allow tool calls that ask a person; else refuse.")
    ] = False,
    junit: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit XML report.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", metavar="FILE", help="Write a Markdown report.")
    ] = None,
    gates: Annotated[
        Path | None, typer.Option("--gates", metavar="FILE", help="Quality gates, a YAML file.")
    ] = None,
    submit: Annotated[
        bool, typer.Option("--submit", help="Submit to the Quality Fabric service, ask its gates.")
    ] = False,
    project: Annotated[
        str | None, typer.Option("--project", metavar="NAME", help="The project there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the test cases of agents, as conversations of their own.

    Exit codes: 0 passed, 1 failed, 2 usage or configuration, 3 a case could not be run, 4 one
    could not be judged, 130 interrupted.
    """
    from client.cli import testing
    from client.cli.verdict_gates import Gating

    wanted = testing.TestWanted(
        files=files,
        cases=cases or (),
        parallel=parallel,
        provider=provider,
        simulation=simulation,
        model=model,
        threshold=threshold,
        approve=approve,
        junit=junit,
        markdown=markdown,
        as_json=as_json,
    )
    raise typer.Exit(testing.test_agents(wanted, Gating(submit, project, gates)))


@app.command(rich_help_panel=PANEL)
def serve(
    agents: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Agents, YAML files; without: the personas."),
    ] = None,
    personas: Annotated[
        bool, typer.Option("--personas", help="The policy's personas beside the agents.")
    ] = False,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; others than this machine need keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: a free one.")] = 8080,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    origins: Annotated[
        list[str] | None,
        typer.Option("--cors", metavar="ORIGIN", help="A site whose pages may ask; repeatable."),
    ] = None,
    session_ttl: Annotated[
        float,
        typer.Option("--session-ttl", min=0, help="Seconds until a silent session ends; 0: never."),
    ] = 1800.0,
    max_sessions: Annotated[
        int, typer.Option("--max-sessions", min=1, help="Sessions that may be open at once.")
    ] = 1000,
    max_body: Annotated[
        int, typer.Option("--max-body", min=1000, metavar="BYTES", help="Of one request.")
    ] = 4_000_000,
    key_name: Annotated[
        str | None,
        typer.Option("--new-key", metavar="NAME", help="Print a fresh key for NAME, and leave."),
    ] = None,
) -> None:
    """Serve agents and personas over HTTP: to OpenAI's clients, and as sessions.

    CALLBOARD_SERVE_KEYS names who may ask, and what each may spend. Ctrl-C stops it; answers under
    way go on the next time.
    """
    from client.cli import gateway

    if key_name is not None:
        raise typer.Exit(gateway.make_key(key_name))
    wanted = gateway.ServeWanted(
        agents=agents or (),
        personas=personas,
        host=host,
        port=port,
        provider=provider,
        simulation=simulation,
        origins=origins or (),
        session_ttl=session_ttl,
        max_sessions=max_sessions,
        max_body=max_body,
    )
    raise typer.Exit(gateway.serve(wanted))
