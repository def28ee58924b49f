"""One line of `doctor`'s report."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What was found about a subject; `cure` says what to do."""

    state: Literal["ok", "note", "fault"]
    subject: str
    text: str
    cure: str = ""
