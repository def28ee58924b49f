"""Callboard's command line. `python starter.py --help` lists the commands.

The commands are declared in `client/cli/commands`, by what they are for. stdout carries the
result, stderr the progress. Exit codes: 0 done, 1 the run failed, 2 usage or configuration,
3 waiting for a person, 130 interrupted.
"""

import contextlib
import os
import sys

try:
    from pathlib import Path
    from typing import Annotated

    import typer

    from client.cli.commands import looking, running, steering, talking, upkeep
    from client.cli.commands.group import Commands
except ModuleNotFoundError as missing:
    if missing.name != "typer":
        raise
    # A Python without Callboard's packages, such as the system's.
    sys.stderr.write(
        f"error: {sys.executable} has none of Callboard's packages. `make venv` puts them into "
        ".venv; then it is: .venv/bin/python starter.py …\n"
    )
    sys.exit(2)
except KeyboardInterrupt:  # nothing has begun
    os._exit(130)

app = typer.Typer(
    cls=Commands,
    help="Runs teams of LLM agents that survive crashes and never spend more than they were given.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for commands in (running, talking, looking, steering, upkeep):
    app.add_typer(commands.app)


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
    except KeyboardInterrupt:  # while that was imported
        code = 130
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
