"""Answers as JSON: a schema filled from the text.

Strings are the sentences nearest to the property's name and description, numbers are figures of
the text where the name points at one and scores within the bounds elsewhere, enums the option
that the text names most, arrays as many items as were asked for. Optional properties are filled
too. What cannot be met (a pattern that nothing in the text fits) is left as near as it gets, as
a model would.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator

from providers.simulation import judging
from providers.simulation.answering import points
from providers.simulation.asking import Asked
from providers.simulation.reading import (
    Reading,
    items,
    nearest,
    sentences,
    shorten,
    stem,
    stems,
    words,
)

_FIGURE = re.compile(r"-?\d+(?:[.,]\d{3})*(?:\.\d+)?")
_SHORT_NAMES = """
    category heading id key keyword label name subject tag title topic
"""
_SHORT = frozenset(_SHORT_NAMES.split())
_DEEPEST = 12
_USUAL_ITEMS = 3
_MOST_ITEMS = 100

Schema = Mapping[str, Any]


def fill(schema: Schema, asked: Asked) -> Any:
    """Return a value that fits the schema, made from what was asked."""
    return _Filler(schema, asked).value(schema, "", 0)


def fill_any(asked: Asked) -> dict[str, Any]:
    """Return an object for a request of JSON without a schema: keys as the question quotes them."""
    keys = list(dict.fromkeys(re.findall(r"[\"'`](\w+)[\"'`]", asked.question)))
    properties = {key: _guess(key) for key in keys or ("answer", "points")}
    return dict(fill({"type": "object", "properties": properties}, asked))


def misfit(schema: Schema | None) -> str:
    """Return an answer that does not fit the schema; broken JSON where everything fits."""
    for value in ({"unexpected": [True]}, ["unexpected"], "unexpected"):
        if schema is not None and not Draft202012Validator(schema).is_valid(value):
            return json.dumps(value)
    return '{"unexpected": '


def _guess(key: str) -> dict[str, Any]:
    if re.search(r"score|count|number|level|rating", key):
        return {"type": "integer"}
    if re.search(r"^is_|^has_|approved|passed|valid", key):
        return {"type": "boolean"}
    if re.search(r"points|items|list|s$", key) and not key.endswith("ss"):
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "string"}


class _Filler:
    """Fills one schema. `focus` is the sentence that the current array item is about."""

    def __init__(self, root: Schema, asked: Asked) -> None:
        self._root = root
        self._asked = asked
        self._reading = Reading(asked.subject, asked.question if asked.source else "")
        self._used: set[str] = set()
        self._focus: str | None = None

    def value(self, schema: Any, name: str, depth: int) -> Any:
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._option(schema, name)
        kind = self._kind(schema)
        if depth > _DEEPEST or kind == "null":
            return None
        match kind:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "boolean":
                return self._boolean(schema, name)
            case "integer" | "number":
                return self._number(schema, name, whole=kind == "integer")
        return self._string(schema, name)

    def _resolved(self, schema: Any) -> dict[str, Any]:
        """Follow references and take the first alternative that is not null."""
        found: dict[str, Any] = dict(schema) if isinstance(schema, Mapping) else {}
        for _ in range(_DEEPEST):
            if "$ref" in found:
                found = {**self._target(found.pop("$ref")), **found}
            elif found.get("anyOf") or found.get("oneOf"):
                options = found.pop("anyOf", None) or found.pop("oneOf")
                chosen = next((o for o in options if o.get("type") != "null"), options[0])
                found = {**found, **chosen}
            elif found.get("allOf"):
                for part in found.pop("allOf"):
                    found = _merged(found, self._resolved(part))
            else:
                break
        return found

    def _target(self, reference: str) -> dict[str, Any]:
        target: Any = self._root
        for step in reference.lstrip("#/").split("/"):
            if step:
                key = step.replace("~1", "/").replace("~0", "~")
                target = target.get(key, {}) if isinstance(target, Mapping) else {}
        return dict(target)

    def _kind(self, schema: Schema) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind:
            return str(kind)
        return "object" if "properties" in schema else "array" if "items" in schema else "string"

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties: dict[str, Any] = dict(schema.get("properties") or {})
        for name in schema.get("required") or ():
            properties.setdefault(name, {"type": "string"})
        if not properties and isinstance(schema.get("additionalProperties"), Mapping):
            properties = dict.fromkeys(self._reading.terms(2), schema["additionalProperties"])
        return {
            key: self.value(_titled(entry, key), key, depth + 1)
            for key, entry in properties.items()
        }

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        prefix = schema.get("prefixItems") or []
        items = schema.get("items", {"type": "string"})
        outer, result = self._focus, [self.value(s, name, depth + 1) for s in prefix]
        if items is not False:
            entries = [] if prefix else self._entries(schema)
            for sentence in entries or self._item_sentences(schema, len(prefix)):
                self._focus = sentence
                item = self.value(items, name, depth + 1)
                if not (schema.get("uniqueItems") and item in result):
                    result.append(item)
        self._focus = outer
        return result

    def _item_sentences(self, schema: Schema, have: int) -> list[str]:
        many = self._asked.count if self._asked.unit == "point" and not self._focus else None
        count = many or min(_USUAL_ITEMS, max(1, len(self._reading.sentences)))
        count = max(count, schema.get("minItems", 0)) - have
        count = min(count, schema.get("maxItems", count + have) - have)
        if count <= 0 or not self._reading.sentences:
            return []
        return points(self._reading, count)

    def _entries(self, schema: Schema) -> list[str]:
        """Return the entries of the text's own list, where all of them were asked for."""
        if self._focus is not None or self._asked.count:
            return []
        found = items(self._asked.source)[: schema.get("maxItems", _MOST_ITEMS)]
        return found if len(found) >= max(2, schema.get("minItems", 0)) else []

    def _option(self, schema: Schema, name: str) -> Any:
        options = list(schema["enum"])
        written = [str(option) for option in options]
        text = self._focus or self._asked.subject
        best, _ = nearest([w for w in written if w], text)
        if best is not None:
            return options[written.index(best)]
        subject = f"{name} {schema.get('description', '')} {self._asked.question}"
        share = judging.share(subject, text)
        return options[min(len(options) - 1, int(share * len(options)))]

    def _boolean(self, schema: Schema, name: str) -> bool:
        subject = f"{name} {schema.get('description', '')}".replace("_", " ")
        return judging.share(subject, self._focus or self._asked.subject) >= 0.5

    def _number(self, schema: Schema, name: str, *, whole: bool) -> int | float:
        low, high = _bounds(schema, self._asked.question)
        figure = self._figure(schema, name)
        if figure is None or not low <= figure <= high:
            subject = f"{name} {schema.get('description', '')} {self._asked.question}"
            share = judging.share(subject.replace("_", " "), self._focus or self._asked.subject)
            figure = low + share * (high - low)
        step = schema.get("multipleOf") or (1 if whole else None)
        if step:
            figure = round(figure / step) * step
            figure += step if figure < low else -step if figure > high else 0
        return int(figure) if whole else round(float(figure), 1 if figure != int(figure) else 0)

    def _figure(self, schema: Schema, name: str) -> float | None:
        """Return the figure of the text that the property's name points at."""
        if judging.asks_for_score(self._asked.question) or re.search(r"scor|rating|level", name):
            return None
        near = stems(f"{name} {schema.get('description', '')}".replace("_", " "))
        for sentence in [self._focus] if self._focus else self._reading.sentences:
            match = _FIGURE.search(sentence)
            if match and near & stems(sentence):
                return float(match[0].replace(",", ""))
        return None

    def _string(self, schema: Schema, name: str) -> str:
        pattern, form = schema.get("pattern"), str(schema.get("format"))
        if pattern or form in _FORMS:
            match = re.search(pattern or _FORMS[form], self._asked.subject)
            return match[0] if match else _FALLBACKS.get(form, "")
        near = stems(f"{name} {schema.get('description', '')}".replace("_", " "))
        text = self._focus if self._focus is not None else self._unused(near)
        if stem(name.rsplit("_", 1)[-1].lower()) in _SHORT:
            text = shorten((sentences(text) or [text])[0], 7).rstrip(".:")
        most = schema.get("maxLength")
        return text[:most].rstrip() if most is not None else text

    def _unused(self, near: set[str]) -> str:
        """Return the best sentence for some words that no other property has taken."""
        if not self._reading.sentences:
            return " ".join(words(self._asked.subject)[:20])
        for place in self._reading.ranked(len(self._used) + 1, near):
            sentence = self._reading.sentences[place]
            if sentence not in self._used:
                self._used.add(sentence)
                return sentence
        return self._reading.sentences[self._reading.ranked(1, near)[0]]


_FORMS = {
    "date": r"\d{4}-\d{2}-\d{2}",
    "date-time": r"\d{4}-\d{2}-\d{2}T[\d:]+(?:Z|[+-][\d:]+)?",
    "email": r"[\w.+-]+@[\w-]+\.[\w.]+\w",
    "uri": r"https?://\S+",
}
_FALLBACKS = {
    "date": "1970-01-01",
    "date-time": "1970-01-01T00:00:00Z",
    "email": "nobody@example.com",
    "uri": "https://example.com/",
}


def _titled(schema: Any, name: str) -> Any:
    """Let a property's name stand in for a missing description."""
    if isinstance(schema, Mapping) and "description" not in schema:
        return {**schema, "description": str(schema.get("title", name))}
    return schema


def _merged(one: Schema, other: Schema) -> dict[str, Any]:
    merged = {**one, **other}
    for key in ("properties",):
        if key in one and key in other:
            merged[key] = {**one[key], **other[key]}
    if "required" in one and "required" in other:
        merged["required"] = [*one["required"], *other["required"]]
    return merged


def _bounds(schema: Schema, question: str) -> tuple[float, float]:
    """Return the range of a number: the schema's, else the question's scale, else 0 to 10."""
    asked = judging.scale(question) or (0, 10)
    step = 1 if schema.get("type") == "integer" else 0.01
    low = schema.get("minimum")
    if low is None and schema.get("exclusiveMinimum") is not None:
        low = schema["exclusiveMinimum"] + step
    high = schema.get("maximum")
    if high is None and schema.get("exclusiveMaximum") is not None:
        high = schema["exclusiveMaximum"] - step
    if low is None:
        low = min(asked[0], high) if high is not None else asked[0]
    if high is None:
        high = max(asked[1], low) if low <= asked[1] else low + 10
    return low, high
