"""Prompts in files of their own, beside the team file.

Braces in them are literal unless they name something known (`lenient`); contracts hold every
template in strict syntax, so the text is converted here, line for line.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from config.problems import ConfigError, Problem
from config.yamlfile import MAX_FILE_BYTES, read_text
from rules import templates


@dataclass(frozen=True)
class PromptFile:
    """A prompt: its name as shown, and its text as a strict template with the same lines."""

    shown: str
    template: str

    def line(self, position: int) -> int:
        """Return the line of a character of the template, from 1."""
        return self.template.count("\n", 0, position) + 1


def read_prompt(folder: Path, name: str, known: Collection[str]) -> PromptFile:
    """Read a prompt in `folder` or below. Raises `ConfigError`; line 0 means the whole file."""
    path = folder / name
    if Path(name).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError([Problem(name, 0, "", "must lie in the team file's folder or below")])
    text = read_text(path, MAX_FILE_BYTES)
    if not text.strip():
        raise ConfigError([Problem(str(path), 0, "", "is empty")])
    problems = [
        Problem(str(path), text.count("\n", 0, error.position) + 1, "", str(error))
        for error in templates.check(text, known, lenient=True)
    ]
    if problems:
        raise ConfigError(problems)
    return PromptFile(str(path), _strict(templates.parse(text, known, lenient=True)))


def _strict(template: templates.Template) -> str:
    """Spell a template in strict syntax: literal braces are doubled."""
    return "".join(
        part.replace("{", "{{").replace("}", "}}") if isinstance(part, str) else str(part)
        for part in template.parts
    )
