"""From a collected stream to the step's output: text, checked JSON, or the caller's tool calls."""

from contracts.base import Json
from contracts.teams import OutputSpec
from rules.jsonanswers import read_json


def parse_json(text: str, spec: OutputSpec) -> tuple[Json, tuple[str, ...]]:
    """Return (value, errors): JSON out of an answer, checked against the step's schema."""
    return read_json(text, spec.schema_)
