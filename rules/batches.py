"""Several questions in one request: how they are asked, and the answers found again. Pure."""

import json
import re
from collections.abc import Sequence

from contracts.base import Json
from rules.jsonanswers import read_json

_ITEM = re.compile(r"^\s*(?:\*\*)?(\d+)[.):](?:\*\*)?\s+", re.M)


def asked_together(prompts: Sequence[str]) -> str:
    """Return one prompt for several, which asks for a JSON array of answers in their order."""
    listed = "\n".join(f"{number}. {prompt}" for number, prompt in enumerate(prompts, 1))
    return (
        f"Answer each of the following {len(prompts)} questions for itself. Return one JSON array "
        f"of {len(prompts)} strings, the answers in the order of the questions, and nothing else."
        f"\n\n{listed}"
    )


def answers_of(text: str, questions: int) -> tuple[str, ...]:
    """Return exactly so many answers: of a JSON array, else of a numbered list, else the text.

    Missing ones are empty, further ones are cut.
    """
    if questions == 1:
        return (text,)
    found = _listed(text)
    return (*found[:questions], *("" for _ in range(questions - len(found))))


def _listed(text: str) -> list[str]:
    value, errors = read_json(text, None)
    if not errors and isinstance(value, list):
        return [_told(item) for item in value]
    marks = list(_ITEM.finditer(text))
    if not marks:
        return [text]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [text[m.end() : end].strip() for m, end in zip(marks, ends, strict=True)]


def _told(item: Json) -> str:
    if item is None:
        return ""
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
