"""Numbers for texts: how good a text looks, how alarming it is, which verdict that makes.

Both are plain counts, so that the same text always scores the same and a better one scores
higher: quality by length, structure, variety of words, figures and a proper end; alarm by the
words that contracts, incident reports and reviews use for what hurts.
"""

import math
import re

from providers.simulation.reading import content_words, sentences, stem, words

_ALARM_WORDS = """
    abuse accident attack bankrupt breach broken bug claim crash critical damage
    danger deadline default defect delay denied dispute error exclude exploit expose fail failure
    fatal fault fine forfeit fraud harm hazard immediate incident incorrect indemnify injury
    insolvency irrevocable late leak liability liable loss lost missing negligence never
    outage overdue penalty perpetual problem prohibit refuse reject risk severe sole terminate
    termination threat unable uncapped unlimited unpaid unsafe urgent violate violation void
    vulnerability waive warn warning weak without worst wrong
"""
_ALARM = frozenset(stem(word) for word in _ALARM_WORDS.split())

_ALARM_ASKED = re.compile(
    r"risk|sever|danger|threat|urgen|priorit|critical|harm|impact|alarm|toxic|level", re.I
)

_RANGE = re.compile(
    r"(?:from|between|of|scale[^.\d]{0,20})?\s*(-?\d{1,3})\s*(?:to|and|-|–|\.\.)\s*(\d{1,4})\b",
    re.I,
)
_OUT_OF = re.compile(r"(?:out of|/)\s*(\d{1,4})\b", re.I)
_SCORING = re.compile(
    r"\b(?:score|scores|rate|rating|grade|mark|rank|evaluate|judge|assess)\b", re.I
)


def asks_for_score(question: str) -> bool:
    """Tell whether a question wants a number on a scale."""
    return bool(_SCORING.search(question)) and scale(question) is not None


def scale(question: str) -> tuple[int, int] | None:
    """Return the scale that a question names: "from 0 to 10", "1-5", "out of 100"."""
    for match in _RANGE.finditer(question):
        low, high = int(match[1]), int(match[2])
        if 0 <= low < high:
            return low, high
    total = _OUT_OF.search(question)
    return (0, int(total[1])) if total and int(total[1]) > 0 else None


def share(subject: str, text: str) -> float:
    """Return a score in 0…1 for a text, of alarm where `subject` asks for it, else of quality."""
    return alarm(text) if _ALARM_ASKED.search(subject) else quality(text)


def quality(text: str) -> float:
    """Return how good a text looks, in 0…1."""
    found = sentences(text)
    terms = content_words(text)
    if not terms:
        return 0.0
    size = len(words(text))
    variety = len(set(terms)) / len(terms)
    points = [
        min(1.0, size / 80),  # says enough
        min(1.0, len(found) / 4),  # in several sentences
        min(1.0, variety / 0.6) if size > 8 else 0.3,  # without repeating itself
        1.0 if re.search(r"\d", text) else 0.4,  # with figures
        1.0 if re.search(r"^\s*(?:[-*•]|\d+[.)])\s", text, re.M) else 0.5,  # in some order
        1.0 if re.search(r"[.!?…。！？\])}\"'”`]\s*$", text) else 0.3,  # to the end
    ]
    return sum(points) / len(points)


def alarm(text: str) -> float:
    """Return how alarming a text is, in 0…1."""
    terms = [stem(word) for word in content_words(text)]
    if not terms:
        return 0.0
    hits = sum(term in _ALARM for term in terms)
    hits += len(re.findall(r"\bnot\b|\bno\b|n['’]t\b", text, re.I)) // 2
    return min(1.0, hits / max(2.0, math.pow(len(terms), 0.6)))


def on_scale(share: float, low: float, high: float) -> int:
    """Return the whole number for a share on a scale."""
    return round(low + share * (high - low))
