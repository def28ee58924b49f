"""Reading a text without a model: its sentences, its words, and which sentences carry it.

A sentence weighs what its words do on average (frequency in the text, damped, without words that
stand in nearly every sentence), more so where it shares words with the question, rare ones first,
and a little more near the beginning. Sentences that repeat one already chosen are passed over.
Linear in the text: 100 kB take some tens of milliseconds. Any script: where words are not
separated, each character is one.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]|[^\W_]+(?:['’][^\W_]+)*"
)
_PARAGRAPH = re.compile(r"\n\s*\n")
_LIST_MARK = re.compile(r"^\s*(?:[-*•]\s+|\d{1,3}[.)]\s+|[a-z]\)\s+|#{1,6}\s+)")
_HEADING = re.compile(r"^\s*#{1,6}\s")
_ENDED = re.compile(r"[.!?…。！？][\"'”’)\]]*$")
_ENTRY = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+\S")
_END = re.compile(
    r"(?<=[.!?…])(?<!\b[A-Z]\.)(?<!\b(?:Mr|Ms|Dr|St|vs|No)\.)(?<!\b(?:Mrs|Sec|Art|e\.g|i\.e)\.)"
    r"[\"'”’)\]]*\s+|(?<=[。！？])"
)

_STOP = """
    a about above after again all also am an and any are as at be because been before being
    below between both but by can could did do does doing down during each either else for from
    further had has have having he her here hers him his how i if in into is it its itself just
    let may me might more most must my no nor not now of off on once one only or other our out
    over own per please same shall she should so some such than that the their them then there
    these they this those through to too under until up upon us very was we were what when where
    whether which while who whom why will with within would you your yours
"""
STOP_WORDS = frozenset(_STOP.split())

_ASKING = """
    bullet clear five four give key line list main paragraph point quote seven sentence short six
    summarise summarize ten three two word write
"""
"""What questions ask with rather than about."""


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


def content_words(text: str) -> list[str]:
    """Return the words of a text that carry meaning, in lower case."""
    return [word for word in words(text) if word not in STOP_WORDS]


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """Return a word without the commonest English endings, so that "risks" meets "risk"."""
    for ending in ("ies", "ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + ("y" if ending == "ies" else "")
    return word


def stems(text: str) -> set[str]:
    """Return the stems of a text's content words."""
    return {stem(word) for word in content_words(text)}


def paragraphs(text: str) -> list[str]:
    """Return the parts of a text between blank lines."""
    return [part.strip() for part in _PARAGRAPH.split(text) if part.strip()]


def sentences(text: str) -> list[str]:
    """Return the sentences of a text; a list's item or a table's row is one too.

    Headings count only where there is nothing else.
    """
    blocks = paragraphs(text)
    lines = [line for block in blocks for line in _lines(block, headings=False)]
    lines = lines or [line for block in blocks for line in _lines(block, headings=True)]
    return [s.strip() for line in lines for s in _END.split(line) if s and s.strip()]


def _lines(block: str, *, headings: bool) -> list[str]:
    """Join lines that were only wrapped; keep apart list items and rows."""
    joined: list[str] = []
    fresh = True
    for raw in block.split("\n"):
        row = raw.lstrip().startswith("|")
        heading = _HEADING.match(raw) is not None
        if heading and not headings:
            fresh = True
            continue
        line = _cells(raw) if row else _LIST_MARK.sub("", raw).strip()
        if not line:
            continue
        if joined and not fresh and not row and not _LIST_MARK.match(raw):
            joined[-1] += " " + line
        else:
            joined.append(line)
        fresh = row or heading
    return joined


def _cells(row: str) -> str:
    """Return a table's row as text; nothing for its ruler."""
    cells = [cell.strip() for cell in row.strip().strip("|").split("|")]
    return "" if all(set(cell) <= set("-: ") for cell in cells) else ": ".join(filter(None, cells))


def items(text: str) -> list[str]:
    """Return the entries of a text's lists, without their marks; wrapped lines are joined."""
    found: list[str] = []
    inside = False
    for raw in text.split("\n"):
        if _ENTRY.match(raw):
            found.append(_LIST_MARK.sub("", raw).strip())
            inside = True
        elif not raw.strip():
            inside = False
        elif inside:
            found[-1] += " " + raw.strip()
    return found


def joined(parts: Sequence[str]) -> str:
    """Put sentences together, with a blank between those of scripts that use one."""
    text = ""
    for part in parts:
        text += part if not text or text[-1] in "。！？" else f" {part}"
    return text


class Reading:
    """One text, read once: its sentences and the weight of each."""

    def __init__(self, text: str, question: str = "") -> None:
        self.text = text
        self.question = question
        self.sentences = sentences(text)

    @cached_property
    def stems(self) -> list[frozenset[str]]:
        """The stems of each sentence."""
        return [frozenset(stems(sentence)) for sentence in self.sentences]

    @cached_property
    def frequency(self) -> Counter[str]:
        """In how many sentences each stem stands."""
        return Counter(stem for found in self.stems for stem in found)

    @cached_property
    def weights(self) -> list[float]:
        """How much of the text each sentence carries."""
        many = len(self.sentences)
        common = max(3.0, 0.5 * many)
        worth = {s: math.log1p(n) for s, n in self.frequency.items() if n <= common}
        asked = {
            s: math.log1p(many / self.frequency[s])
            for s in stems(self.question) - stems(_ASKING)
            if s in self.frequency
        }
        return [
            _weigh(found, worth, asked) + (0.5 if _ENDED.search(sentence) else 0.0) / (1 + place)
            for place, (found, sentence) in enumerate(zip(self.stems, self.sentences, strict=True))
        ]

    def best(self, count: int, near: Iterable[str] = ()) -> list[str]:
        """Return the `count` heaviest sentences in the text's order, near-repetitions left out.

        `near` are stems that the sentences should be about.
        """
        return [self.sentences[place] for place in sorted(self.ranked(count, near))]

    def ranked(self, count: int, near: Iterable[str] = ()) -> list[int]:
        """Return the places of the heaviest sentences, heaviest first."""
        wanted = set(near)
        scores = [w + 2.0 * len(wanted & s) for w, s in zip(self.weights, self.stems, strict=True)]
        order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
        chosen: list[int] = []
        passed: list[int] = []
        for place in order:
            if len(chosen) == count:
                break
            repeats = any(_alike(self.stems[place], self.stems[other]) for other in chosen)
            (passed if repeats else chosen).append(place)
        return chosen + passed[: count - len(chosen)]

    def terms(self, count: int) -> list[str]:
        """Return the most frequent content words, as they are first written in the text."""
        seen: dict[str, str] = {}
        tally: Counter[str] = Counter()
        for match in _WORD.finditer(self.text[:20_000]):
            word = match.group()
            lower = word.lower()
            if lower in STOP_WORDS or len(lower) < 3 or lower.isdigit():
                continue
            root = stem(lower)
            seen.setdefault(root, word)
            tally[root] += 1
        return [seen[root] for root, _ in tally.most_common(count)]


def _weigh(found: frozenset[str], worth: dict[str, float], asked: dict[str, float]) -> float:
    """Weigh a sentence by what its words carry on average, and what it shares with the question.

    Headings and fragments weigh less than they would: they answer nothing.
    """
    size = len(found) + 6
    inner = sum(worth.get(stem, 0.0) for stem in found) / size
    about = sum(asked.get(stem, 0.0) for stem in found) / math.sqrt(size)
    return (inner + 2.0 * about) * min(1.0, len(found) / 5)


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    both = len(one & other)
    return both > 0 and both / len(one | other) > 0.6


def shorten(text: str, count: int) -> str:
    """Return at most `count` words of a text, without a dangling end."""
    parts = text.split()
    if len(parts) <= count:
        return text.strip()
    kept = parts[:count]
    while len(kept) > 2 and kept[-1].lower().strip(",;:") in STOP_WORDS:
        kept.pop()
    return " ".join(kept).rstrip(",;:.")


def nearest(options: Sequence[str], text: str) -> tuple[str | None, int]:
    """Return the option whose words stand most often in a text, and how often; None for none."""
    tally = Counter(stem(word) for word in words(text))
    lower = text.lower()
    best: tuple[str | None, int] = (None, 0)
    for option in options:
        parts = [stem(word) for word in words(option)]
        if not parts:
            continue
        hits = lower.count(option.lower()) if len(parts) > 1 else 0
        hits += min(tally[part] for part in parts)
        if hits > best[1]:
            best = (option, hits)
    return best
