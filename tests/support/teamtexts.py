"""Short ways to write a team file and to read what the loader says of it."""

from pathlib import Path
from textwrap import dedent

import pytest

from config.teamfile import LoadedTeam, TeamFileError, load_team


def load(text: str, **env: str) -> LoadedTeam:
    Path("t.yaml").write_text(dedent(text))
    return load_team(Path("t.yaml"), env)


def said(text: str, **env: str) -> list[str]:
    with pytest.raises(TeamFileError) as error:
        load(text, **env)
    assert str(error.value).splitlines() == [str(p) for p in error.value.problems]
    return str(error.value).splitlines()


def step(body: str, before: str = "") -> str:
    """Return a team of one step `s`, whose body is given in flow style."""
    return f"name: t\n{before}agents:\n  - {{name: s, {body}}}\n"


def agents(*bodies: str) -> str:
    return "name: t\nagents:\n" + "".join(f"  - {{{body}}}\n" for body in bodies)
