"""Answers in prose, taken from the text that the request holds.

Nothing is invented and nothing is canned: an answer is made of the source's own sentences (or,
where there is no source, of the question's), in the form that was asked for: so many points, so
many sentences, at most so many words, a score with reasons, yes or no, one of the given choices.
"""

import re

from providers.simulation import judging
from providers.simulation.asking import Asked
from providers.simulation.reading import (
    Reading,
    joined,
    nearest,
    sentences,
    shorten,
    stems,
    words,
)

_YES_NO = re.compile(r"\b(?:yes or no|yes/no|true or false)\b", re.I)
_ONLY_NUMBER = re.compile(
    r"\b(?:only|just|nothing but)\b[^.]{0,30}\b(?:number|score|digit)"
    r"|\b(?:number|score|digit) only",
    re.I,
)
_CHOICES = re.compile(
    r"(?:\bone of|\beither|\bwith one word)\b[^:\n]{0,30}:?\s*([\w\"'` ,/|-]+?)(?:[.?!\n]|$)", re.I
)
_CLAUSE = re.compile(r"[;:,—–]\s+(?:and\s+|or\s+|but\s+)?")
_TOPIC = re.compile(r"\b(?:about|on|of|for)\s+([^.?!\n]{3,200})", re.I)
_BULLETS = re.compile(r"\bbullets?\b", re.I)
_SUMMARY = re.compile(r"\bsummar|\bshort|\bbrief|\bconcise|\bheadline|\btl;?dr", re.I)

_WORDS_BEFORE_FIGURES = 30


def answer(asked: Asked) -> str:
    """Return the whole answer to what was asked."""
    if asked.before:
        return continuation(asked)
    return fresh(asked)


def continuation(asked: Asked) -> str:
    """Return the rest of an answer that was begun.

    It is the exact rest where the beginning is this module's own; else those sentences of our
    answer that the beginning does not hold yet.
    """
    whole = fresh(asked)
    if whole.startswith(asked.before):
        return whole[len(asked.before) :]
    begun = stems(asked.before)
    missing = [s for s in sentences(whole) if len(stems(s) - begun) > len(stems(s)) / 2]
    glue = "" if asked.before[-1:].isspace() else " "
    return glue + joined(missing) if missing else ""


def fresh(asked: Asked) -> str:
    """Return the answer to a question that nobody has begun to answer."""
    short = _verdict(asked)
    if short is not None:
        return short
    reading = Reading(asked.subject, asked.question if asked.source else "")
    if not reading.sentences:
        return shorten(asked.subject, 40) or "There is no text to answer from."
    if asked.unit == "word" and asked.count:
        return _at_most(reading, asked.count)
    if asked.count:
        found = points(reading, asked.count) if asked.source else restated(asked, asked.count)
        if asked.unit == "sentence":
            return joined([_ended(point) for point in found])
        return _listed(found, bullets=bool(_BULLETS.search(asked.question)))
    if not asked.source:
        return joined(restated(asked, 3))
    return joined([_ended(s) for s in reading.best(_usual_count(asked, reading))])


def _usual_count(asked: Asked, reading: Reading) -> int:
    many = len(reading.sentences)
    if _SUMMARY.search(asked.question):
        return min(many, 3 + many // 100)
    return min(many, max(4, min(12, many // 8)))


def points(reading: Reading, count: int) -> list[str]:
    """Return exactly `count` points of a text: sentences, else their clauses, else its terms."""
    found = reading.best(count)
    while len(found) < count and _split_longest(found):
        pass
    if len(found) < count:
        known = set(found)
        found += [term for term in reading.terms(count) if term not in known]
    while len(found) < count:
        found.append(found[len(found) % max(1, len(reading.sentences))])
    return found[:count]


def _split_longest(found: list[str]) -> bool:
    """Split the longest point that has two clauses, in place; False where none has."""
    for place in sorted(range(len(found)), key=lambda place: -len(found[place])):
        cuts = [
            cut
            for cut in _CLAUSE.finditer(found[place])
            if min(_size(found[place][: cut.start()]), _size(found[place][cut.end() :])) >= 2
        ]
        if cuts:
            text = found[place]
            cut = min(cuts, key=lambda cut: abs(cut.start() - len(text) // 2))
            found[place : place + 1] = [text[: cut.start()].strip(), text[cut.end() :].strip()]
            return True
    return False


def _size(text: str) -> int:
    return len(words(text))


def _listed(found: list[str], *, bullets: bool) -> str:
    marks = ["-"] * len(found) if bullets else [f"{n}." for n in range(1, len(found) + 1)]
    return "\n".join(f"{mark} {_ended(point)}" for mark, point in zip(marks, found, strict=True))


def _ended(sentence: str) -> str:
    """Return a sentence with an end."""
    return (
        sentence
        if re.search(r"[.!?…。！？:][\"'”’)\]]*$", sentence)
        else sentence.rstrip(",;") + "."
    )


def _at_most(reading: Reading, count: int) -> str:
    """Return whole sentences of at most `count` words, or one shortened sentence."""
    order = [reading.sentences[place] for place in reading.ranked(max(1, count // 4))]
    kept: list[str] = []
    left = count
    for sentence in order:
        size = len(sentence.split())
        if size <= left:
            kept.append(sentence)
            left -= size
    chosen = set(kept)
    if not kept:
        return shorten(order[0], count)
    return joined([_ended(s) for s in reading.sentences if s in chosen])


def restated(asked: Asked, count: int) -> list[str]:
    """Say what is asked in `count` sentences, where there is no text to answer from."""
    topic = _TOPIC.search(asked.question)
    subject = topic[1] if topic else asked.question.strip().split("\n")[0]
    terms = Reading(subject).terms(max(5, count)) or Reading(asked.question).terms(5)
    told = [
        _ended(f"This is about {subject}" if topic else f"Asked for: {subject}"),
        f"It turns on {', '.join(terms[:5])}." if terms else "It names nothing in particular.",
        "The prompt brings no text along, so there is nothing to quote.",
    ]
    told += [f"One part of it is {term}." for term in terms]
    told += [told[n % len(told)] for n in range(max(0, count - len(told)))]
    return told[:count]


def _verdict(asked: Asked) -> str | None:
    """Return the answer to a question that wants a score, a yes or no, or a choice."""
    question = asked.question
    if judging.asks_for_score(question):
        return _score(asked)
    if _YES_NO.search(question):
        yes, no = (
            ("True", "False") if re.search(r"true or false", question, re.I) else ("Yes", "No")
        )
        return f"{yes if judging.share(question, asked.subject) >= 0.5 else no}. {_why(asked)}"
    match = _CHOICES.search(question)
    if match:
        options = [o.strip(" \"'`") for o in re.split(r",|/|\||\bor\b", match[1])]
        options = [option for option in options if 0 < len(option.split()) <= 3]
        if len(options) > 1:
            best, _ = nearest(options, asked.source)
            return best or options[0]
    return None


def _score(asked: Asked) -> str:
    low, high = judging.scale(asked.question) or (0, 10)
    score = judging.on_scale(judging.share(asked.question, asked.subject), low, high)
    if _ONLY_NUMBER.search(asked.question):
        return str(score)
    return f"{score} out of {high}. {_why(asked)}"


def _why(asked: Asked) -> str:
    """Return the figures behind a verdict and the sentence that weighs most."""
    text = asked.subject
    size, many = len(words(text)), len(sentences(text))
    figures = "figures" if re.search(r"\d", text) else "no figures"
    reading = Reading(text, asked.question)
    told = f"The text has {size} words in {many} sentences and gives {figures}."
    if size > _WORDS_BEFORE_FIGURES and reading.sentences:
        return f"{told} It stands on this: {_ended(reading.best(1)[0])}"
    return told
