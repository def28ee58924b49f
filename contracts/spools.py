"""Records of a run's spool: where an answer lives while it is being written.

Offsets count characters of the step's one coherent text. A new attempt first writes a
`superseded` record whose `offset` is where its text begins: what an earlier attempt wrote
from there on no longer counts.
"""

from typing import Literal

from contracts.base import Frozen
from contracts.tools import ToolEventRecord


class SpoolRecord(Frozen):
    """One line of a spool. `seq` counts an attempt's records from 0.

    `offset` is where a delta's text begins, and where the text ends for `ended`. `gap` is set by
    readers, never written: records just before this one are missing, so the text is not whole
    and has to be taken from the artifact in the end.

    A "tool" record has a call's event in `tool` and no text; its `agent` is no one's text either
    (`contracts.tools.spool_agent`).
    """

    kind: Literal["superseded", "delta", "ended", "tool"]
    agent: str
    attempt: int
    seq: int
    offset: int = 0
    text: str = ""
    note: str = ""
    gap: bool = False
    tool: ToolEventRecord | None = None
