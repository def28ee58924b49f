"""What a request asks, and of which text: the question, the source, the form of the answer.

A prompt is a question around a text. Its paragraphs that ask (first or last, a question mark, an
imperative, "…:") are the question, the rest is the source; in a single paragraph the part before
a colon may be the question. Where the last turn has no text of its own, the source is what the
conversation and the tools said before. A user's turn before the last one is a text to be read, too:
what several requests share.
"""

import re
from dataclasses import dataclass
from typing import Literal

from contracts.messages import ChatRequest, Message
from contracts.parts import TextPart
from providers.simulation.reading import paragraphs, words

_NUMERALS = """
    one two three four five six seven eight nine ten eleven twelve
"""
_NUMBERS = _NUMERALS.split()
_NUMBER = rf"(\d{{1,3}}|{'|'.join(_NUMBERS)})"
_COUNTED = re.compile(
    rf"\b{_NUMBER}\s+(?:(?:short|main|key|top|most\s+\w+|important|numbered|bullet|clear|single|"
    r"biggest|best|worst|different|concise|further|open|concrete)\s+)*"
    r"(points?|bullets?|sentences?|items?|lines?|reasons?|risks?|questions?|steps?|ideas?|facts?|"
    r"findings?|words?|examples?|clauses?|issues?|problems?|recommendations?|suggestions?|"
    r"takeaways?|arguments?|topics?|keywords?|terms?|names?|titles?|paragraphs?)\b",
    re.I,
)
_IMPERATIVES = """
    add analyse analyze answer assess check choose classify combine compare continue count create
    decide define describe design draft edit evaluate explain extract fill find fix generate give
    grade identify implement improve judge list make merge name outline pick plan prepare produce
    propose rank rate read reply report respond return review revise rewrite say score select show
    sort state suggest summarise summarize tell translate use using verify write
    what which who why when where how is are does do can should
"""
_ASKS = re.compile(
    r"^(?:please\s+|now\s+|then\s+|you are .{0,80}?[.:]\s*)?"
    rf"(?:{'|'.join(_IMPERATIVES.split())}|as (?:a|an|the)|go on|point out)\b",
    re.I,
)
_CONTINUE = re.compile(
    r"\b(?:continue|go on|carry on|cut off|where you (?:stopped|left off))\b", re.I
)

_AGAIN = re.compile(r"\b(?:answer again|try again|corrected JSON|does not fit what)\b", re.I)
_ONE_OF = re.compile(r"\b(?:one of|either)\s*$", re.I)

_LONGEST_QUESTION = 600

Unit = Literal["point", "sentence", "word"]


@dataclass(frozen=True)
class Asked:
    """A request as understood. `count` of `unit` where the prompt says so.

    `before` is the text of an answer that is to be continued ("" for a fresh one).
    """

    question: str
    source: str
    count: int | None = None
    unit: Unit = "point"
    before: str = ""

    @property
    def subject(self) -> str:
        """What there is to read: the source, or the question where there is none."""
        return self.source or self.question


def understand(request: ChatRequest) -> Asked:
    """Return what a request asks."""
    turns = [message for message in request.messages if message.role != "system"]
    before = ""
    if turns and turns[-1].role == "assistant" and not turns[-1].tool_calls:
        before, turns = text_of(turns[-1]), turns[:-1]
    elif _wants_more(turns):
        before, turns = text_of(turns[-2]), turns[:-2]
    while _wants_again(turns):
        turns = turns[:-2]
    asking = max((i for i, turn in enumerate(turns) if turn.role == "user"), default=None)
    if asking is None:
        return Asked(question=request.system or before, source="", before=before)
    text = text_of(turns[asking])
    shared = asking > 0 and turns[asking - 1].role == "user"
    question, source = split(_without_persona(text) if shared else text)
    said = [text_of(turn) for turn in turns[asking + 1 :] if turn.role == "tool"]
    if shared:
        said = [text_of(turns[asking - 1]), *said]
    elif not said and not source:
        said = [text_of(turn) for turn in turns[:asking] if text_of(turn)]
    source = "\n\n".join(part for part in (*said, source) if part)
    count, unit = _counted(question)
    return Asked(question=question, source=source, count=count, unit=unit, before=before)


def _without_persona(text: str) -> str:
    """Leave out who is asked, where that stands before the question and not in system text."""
    kept = [part for part in paragraphs(text) if not part.startswith("You are ")]
    return "\n\n".join(kept) or text


def text_of(message: Message) -> str:
    """Return the text of a turn, its text parts included."""
    parts = [part.text for part in message.parts if isinstance(part, TextPart)]
    return "\n\n".join(text for text in (message.content, *parts) if text)


def _wants_more(turns: list[Message]) -> bool:
    """Tell whether the last turn asks for the rest of the answer before it."""
    if len(turns) < 3 or turns[-1].role != "user" or turns[-2].role != "assistant":
        return False
    last = turns[-1].content
    return len(last) < 400 and bool(_CONTINUE.search(last)) and bool(turns[-2].content)


def _wants_again(turns: list[Message]) -> bool:
    """Tell whether the last turn only says that the answer before it will not do."""
    if len(turns) < 3 or turns[-1].role != "user" or turns[-2].role != "assistant":
        return False
    return bool(_AGAIN.search(turns[-1].content[:4000]))


def split(prompt: str) -> tuple[str, str]:
    """Split a prompt into question and source; the source may be empty."""
    parts = paragraphs(prompt)
    if len(parts) < 2:
        return _split_line(prompt.strip())
    head, tail = _split_line(parts[0])
    if tail and _ASKS.match(head):  # "Score this text from 0 to 10: …" around the whole text
        return head, "\n\n".join([tail, *parts[1:]])
    if _ASKS.match(parts[0]) and parts[0].endswith(":"):
        return parts[0], "\n\n".join(parts[1:])
    asks = [_is_question(part) for part in parts]
    first, last = asks[0], asks[-1]
    if not first and not last:
        first = len(parts[0]) <= len(parts[-1])
        last = not first
    chosen = {0} if first else set()
    chosen |= {len(parts) - 1} if last else set()
    if len(chosen) == len(parts):  # both ask: the longer holds the text
        longer = max(chosen, key=lambda i: len(parts[i]))
        question, source = _split_line(parts[longer])
        others = [parts[i] for i in sorted(chosen - {longer})]
        return "\n\n".join([*others, question]) if source else prompt.strip(), source
    questions = [parts[i] for i in sorted(chosen)]
    rest = [part for i, part in enumerate(parts) if i not in chosen]
    for i, part in enumerate(questions):  # "Score this text from 0 to 10: <text>"
        head, tail = _split_line(part)
        if len(tail) > (len(head) if rest else 0):  # a short rest of a line only was wrapped
            questions[i], rest = head, [*rest, tail]
    return "\n\n".join(questions), "\n\n".join(rest)


def _is_question(part: str) -> bool:
    if len(part) > _LONGEST_QUESTION:
        return bool(_ASKS.match(part)) and ":" in part[:_LONGEST_QUESTION]
    return bool(_ASKS.match(part)) or part.endswith(("?", ":"))


def _split_line(part: str) -> tuple[str, str]:
    """Split one paragraph at its first line, or at its first colon, where a text follows."""
    head, tail = _first_line(part)
    if tail.strip() and (_ASKS.match(head) or head.rstrip().endswith((":", "?"))):
        return head.strip(), tail.strip()
    head, colon, tail = part.partition(": ")
    asks = _ASKS.match(head) or len(words(head)) <= 12
    enough = len(words(tail)) >= 4 and len(head) <= _LONGEST_QUESTION
    if colon and asks and enough and not _ONE_OF.search(head):
        return f"{head}:".strip(), tail.strip()
    return part, ""


def _first_line(part: str) -> tuple[str, str]:
    """Split off the first line; lines that were only wrapped belong together."""
    lines = part.split("\n")
    size = 1
    while size < len(lines) and not re.search(r"[.:?!]\s*$", lines[size - 1]):
        if not lines[size].lstrip()[:1].islower():
            break
        size += 1
    return "\n".join(lines[:size]), "\n".join(lines[size:])


def _counted(question: str) -> tuple[int | None, Unit]:
    """Return how many of what a question asks for."""
    found: list[tuple[int | None, Unit]] = []
    for match in _COUNTED.finditer(question):
        number, unit = match[1].lower(), match[2].lower()
        count = int(number) if number.isdigit() else _NUMBERS.index(number) + 1
        if unit.startswith("word"):
            found.append((count, "word"))
        elif unit.startswith("sentence"):
            found.append((count, "sentence"))
        else:
            found.append((count, "point"))
    points = [entry for entry in found if entry[1] != "word"]
    return (points or found or [(None, "point")])[0]
