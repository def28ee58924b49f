"""How an answer is measured, from 0 to 1: equality, contains, regex, numeric, json. Pure.

What it is held against is the metric's `value`, else the case's ground truth. `judge` is not
measured here: a model does that, `judged` makes a verdict of what it said.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from contracts.agent_cases import AgentCase, CaseMetric
from contracts.base import Json
from rules import patterns
from rules.jsonanswers import read_json
from rules.verdicts import CannotEvaluate, Verdict, cut, plain, same, text_of

_FIGURE = re.compile(
    r"(?:(?<![0-9A-Za-z.])[-−+])?"  # not the dash of 10-12
    r"(?:(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]{1,4}(?![0-9A-Za-z]))?"
)
_MISSING = object()


def metrics_of(case: AgentCase) -> tuple[CaseMetric, ...]:
    """Return a case's metrics; a ground truth without any must be contained in the answer."""
    if case.metrics or case.ground_truth is None:
        return case.metrics
    return (CaseMetric(metric="contains"),)


def problems(case: AgentCase) -> list[str]:
    """Return what keeps a case's answer from being measured, whatever it will be."""
    found = []
    for metric in metrics_of(case):
        if metric.metric in ("judge", "json"):
            continue
        try:
            _measure(metric, "", case.ground_truth)
        except CannotEvaluate as error:
            found.append(f"{metric.metric}: {error}")
    return found


def measure(metric: CaseMetric, answer: Json, truth: str | None) -> Verdict:
    """Return how an answer does. Raises CannotEvaluate, also for `judge`."""
    score, reason = _measure(metric, answer, truth)
    verdict = Verdict(metric.metric, score, metric.threshold, reason)
    return Verdict(metric.metric, score, metric.threshold) if verdict.passed else verdict


def judged(metric: CaseMetric, said: Json) -> Verdict:
    """Return the verdict of a judge who said {"score": 0 to 1, "reason": …}.

    Raises CannotEvaluate for any other answer.
    """
    score = said.get("score") if isinstance(said, dict) else None
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise CannotEvaluate(f"the judge gave no score from 0 to 1: {cut(text_of(said))}")
    reason = str(said.get("reason") or "") if isinstance(said, dict) else ""
    return Verdict("judge", float(score), metric.threshold, reason)


def _measure(metric: CaseMetric, answer: Json, truth: str | None) -> tuple[float, str]:
    match metric.metric:
        case "json":
            return _fields(metric, answer)
        case "equality":
            return _equality(_wanted(metric, truth), answer)
        case "contains":
            return _contains(_wanted(metric, truth), text_of(answer))
        case "regex":
            return _regex(text_of(_wanted(metric, truth)), text_of(answer))
        case "numeric":
            return _numeric(_wanted(metric, truth), metric.tolerance, answer)
    raise CannotEvaluate("a judge is a model: it is not measured")


def _wanted(metric: CaseMetric, truth: str | None) -> Json:
    wanted = truth if metric.value is None else metric.value
    if wanted is None:
        raise CannotEvaluate("there is neither a value nor a ground truth")
    return wanted


def _equality(wanted: Json, answer: Json) -> tuple[float, str]:
    """Texts are equal but for white space around them, JSON answers as values."""
    if isinstance(wanted, str) and isinstance(answer, str):
        equal = wanted.strip() == answer.strip()
    else:
        equal = same(_value(wanted), _value(answer))
    return float(equal), f"the answer is {cut(text_of(answer))}, not {cut(text_of(wanted))}"


def _contains(wanted: Json, answer: str) -> tuple[float, str]:
    """The share of the wanted texts that are in the answer, whatever their case."""
    texts = [text_of(one) for one in (wanted if isinstance(wanted, list) else [wanted])]
    if not texts or not all(plain(one) for one in texts):
        raise CannotEvaluate("there is no text to look for")
    read = plain(answer)
    missing = [one for one in texts if plain(one) not in read]
    told = ", ".join(cut(one) for one in missing)
    return 1 - len(missing) / len(texts), f"missing: {told} (the answer is {cut(answer)})"


def _regex(pattern: str, answer: str) -> tuple[float, str]:
    try:
        found = patterns.occurs(pattern, answer)
    except (patterns.BadPattern, patterns.TooSlow) as error:
        raise CannotEvaluate(str(error)) from None
    return float(found), f"nothing in {cut(answer)} fits {pattern}"


def _numeric(wanted: Json, tolerance: float, answer: Json) -> tuple[float, str]:
    """Whether some number of the answer is as near as `tolerance`, in exact decimals."""
    target = _figures(wanted)
    if len(target) != 1:
        raise CannotEvaluate(f"{cut(text_of(wanted))} is not one number")
    nearest = min(_figures(answer), key=lambda one: abs(one - target[0]), default=None)
    if nearest is None:
        return 0.0, f"there is no number in {cut(text_of(answer))}"
    near = abs(nearest - target[0]) <= Decimal(str(tolerance))
    return float(near), f"{nearest} is not within {tolerance:g} of {target[0]}"


def _figures(value: Json) -> list[Decimal]:
    if isinstance(value, bool):
        return []
    texts = (match.group().replace(",", "") for match in _FIGURE.finditer(text_of(value)))
    return [Decimal(t.replace("−", "-")) for t in texts]


def _fields(metric: CaseMetric, answer: Json) -> tuple[float, str]:
    """The share of the fields, named by their paths (`items.0.name`), that are as they must be."""
    if not metric.fields:
        raise CannotEvaluate("there are no fields to compare")
    value = _value(answer)
    if not isinstance(value, dict | list):
        return 0.0, f"the answer is no JSON object: {cut(text_of(answer))}"
    wrong = []
    for path, wanted in metric.fields.items():
        found = _at(value, path)
        if not _alike(found, wanted, metric.tolerance):
            told = "missing" if found is _MISSING else cut(text_of(found))
            wrong.append(f"{path} is {told}, not {cut(text_of(wanted))}")
    return 1 - len(wrong) / len(metric.fields), "; ".join(wrong)


def _at(value: Any, path: str) -> Any:
    """Return what stands at a path; a key that is named like the whole rest goes first."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    key, dot, rest = path.partition(".")
    if isinstance(value, Mapping):
        found = value.get(key, _MISSING)
    elif isinstance(value, Sequence) and not isinstance(value, str) and key.isdecimal():
        found = value[int(key)] if int(key) < len(value) else _MISSING
    else:
        return _MISSING
    return _at(found, rest) if dot and found is not _MISSING else found


def _alike(found: Any, wanted: Json, tolerance: float) -> bool:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in (found, wanted))
    if numbers and tolerance:
        return bool(abs(found - wanted) <= tolerance)
    return found is not _MISSING and same(found, wanted)


def _value(value: Json) -> Json:
    """Return a text that is JSON as its value, and any other value as it is."""
    if not isinstance(value, str):
        return value
    read, errors = read_json(value, None)
    return value if errors else read
