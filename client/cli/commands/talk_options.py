"""Arguments and options of the commands that ask and converse."""

from pathlib import Path
from typing import Annotated

import typer

# ask

QuestionText = Annotated[str, typer.Argument(metavar="QUESTION", help="What to ask.")]
About = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="About what: texts, PDF, images, sound."),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option("--prompt", "-p", metavar="TEXT", help="A further question; repeatable."),
]
OnlyModel = Annotated[str | None, typer.Option("--model", metavar="NAME", help="Only this model.")]
Simulated = Annotated[bool, typer.Option("--simulated", help="The same as --provider simulated.")]
PersonaName = Annotated[str | None, typer.Option("--persona", metavar="NAME", help="Who answers.")]
SystemText = Annotated[
    str | None, typer.Option("--system", metavar="TEXT", help="The system prompt.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", min=1, help="Of each answer; 4096 if not given.")
]
MostDollars = Annotated[
    str | None,
    typer.Option("--budget", metavar="DOLLARS", help="Ask nothing that could cost more."),
]
Upload = Annotated[
    bool, typer.Option("--upload", help="Upload the files, or fail: none is sent inline.")
]
Keep = Annotated[
    bool, typer.Option("--keep", help="Leave the cache at the vendor, for an hour or --ttl.")
]
Ttl = Annotated[
    float | None,
    typer.Option(
        "--ttl",
        min=1,
        metavar="SECONDS",
        help="How long the cache is to last. Anthropic: over 300 an hour, dearer to write.",
    ),
]
Reuse = Annotated[
    float,
    typer.Option("--reuse", min=0, metavar="SECONDS", help="Take an answer that is no older."),
]
AtOnce = Annotated[
    int | None, typer.Option("--at-once", min=1, help="So many questions at a time.")
]

# chat

AgentPath = Annotated[Path | None, typer.Argument(metavar="FILE", help="The agent, a YAML file.")]
SessionName = Annotated[
    str | None,
    typer.Option(
        "--session",
        "-s",
        metavar="ID",
        help="Come back to this one: its id, a unique beginning of it, or last. Else begin it.",
    ),
]
OtherModel = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="MODEL or PROVIDER/MODEL, not the file's."),
]
MaxMessages = Annotated[
    int | None,
    typer.Option(
        "--max-messages",
        min=1,
        help="A warning comes at 80 % of them. As the conversation began, or 50, if left out.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show what tools are given and give.")
]
AddedFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--file", "-f", metavar="PATH", help="Show this with the first message; repeatable."
    ),
]
ListThem = Annotated[bool, typer.Option("--list", help="List the conversations.")]

# test

TestedPaths = Annotated[list[Path], typer.Argument(metavar="FILE...", help="Agents, YAML files.")]
CaseNames = Annotated[
    list[str] | None,
    typer.Option("--case", metavar="NAME", help="Only this case, or its pattern; repeatable."),
]
Parallel = Annotated[int, typer.Option("--parallel", min=1, max=100, help="So many cases at once.")]
Threshold = Annotated[
    float, typer.Option("--threshold", min=0, max=1, help="The share of cases that has to pass.")
]
Approve = Annotated[
    bool, typer.Option("--approve", help="Allow tool calls that ask a person; else refuse.")
]
JunitPath = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write a JUnit XML report.")
]
MarkdownPath = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write a Markdown report.")
]
GatesPath = Annotated[
    Path | None, typer.Option("--gates", metavar="FILE", help="Quality gates, a YAML file.")
]
Submit = Annotated[
    bool, typer.Option("--submit", help="Submit to the Quality Fabric service, ask its gates.")
]
ProjectName = Annotated[
    str | None, typer.Option("--project", metavar="NAME", help="The project there.")
]

# serve

ServedPaths = Annotated[
    list[Path] | None,
    typer.Argument(metavar="[FILE]...", help="Agents, YAML files; without: the personas."),
]
Personas = Annotated[
    bool, typer.Option("--personas", help="The policy's personas beside the agents.")
]
HostName = Annotated[
    str, typer.Option("--host", help="Where to listen; others than this machine need keys.")
]
Port = Annotated[int, typer.Option("--port", min=0, max=65_535, help="0: a free one.")]
Origins = Annotated[
    list[str] | None,
    typer.Option("--cors", metavar="ORIGIN", help="A site whose pages may ask; repeatable."),
]
SessionTtl = Annotated[
    float,
    typer.Option("--session-ttl", min=0, help="Seconds until a silent session ends; 0: never."),
]
MaxSessions = Annotated[
    int, typer.Option("--max-sessions", min=1, help="Sessions that may be open at once.")
]
MaxBody = Annotated[
    int, typer.Option("--max-body", min=1000, metavar="BYTES", help="Of one request.")
]
NewKey = Annotated[
    str | None,
    typer.Option("--new-key", metavar="NAME", help="Print a fresh key for NAME, and leave."),
]
