"""Ask and converse."""

import typer

from client.cli.commands import talk_options as given
from client.cli.commands.options import AsJson, ProviderName, SimulationPath, Yes

PANEL = "Talk"

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def ask(
    question: given.QuestionText,
    files: given.About = None,
    prompts: given.Prompts = None,
    provider: ProviderName = None,
    model: given.OnlyModel = None,
    simulated: given.Simulated = False,
    persona: given.PersonaName = None,
    system: given.SystemText = None,
    max_tokens: given.MaxTokens = None,
    budget: given.MostDollars = None,
    upload: given.Upload = False,
    keep: given.Keep = False,
    ttl: given.Ttl = None,
    reuse: given.Reuse = 0.0,
    at_once: given.AtOnce = None,
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
        ttl_s=ttl,
        reuse_s=reuse,
        at_once=at_once,
    )
    raise typer.Exit(ask_question(asked, Manner(as_json=as_json, yes=yes)))


@app.command(rich_help_panel=PANEL)
def chat(
    file: given.AgentPath = None,
    session: given.SessionName = None,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    model: given.OtherModel = None,
    max_messages: given.MaxMessages = None,
    verbose: given.Verbose = False,
    files: given.AddedFiles = None,
    show_list: given.ListThem = False,
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
    wanted = chatting.ChatWanted(
        file, session, provider, simulation, model, max_messages, verbose, files or ()
    )
    raise typer.Exit(chatting.chat(wanted))


@app.command("test", rich_help_panel=PANEL)
def run_tests(
    files: given.TestedPaths,
    cases: given.CaseNames = None,
    parallel: given.Parallel = 4,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    model: given.OtherModel = None,
    threshold: given.Threshold = 1.0,
    approve: given.Approve = False,
    junit: given.JunitPath = None,
    markdown: given.MarkdownPath = None,
    gates: given.GatesPath = None,
    submit: given.Submit = False,
    project: given.ProjectName = None,
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
    agents: given.ServedPaths = None,
    personas: given.Personas = False,
    host: given.HostName = "127.0.0.1",
    port: given.Port = 8080,
    provider: ProviderName = None,
    simulation: SimulationPath = None,
    origins: given.Origins = None,
    session_ttl: given.SessionTtl = 1800.0,
    max_sessions: given.MaxSessions = 1000,
    max_body: given.MaxBody = 4_000_000,
    key_name: given.NewKey = None,
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
