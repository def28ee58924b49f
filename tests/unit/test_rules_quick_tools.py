"""Which tools are called at once: those that were quick the last time, unsafe ones too."""

import pytest

from contracts.tools import ToolFact
from rules.quick_tools import QUICK_S, may_be_at_once

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("fact", "took_s", "at_once"),
    [
        ({"effect": "read"}, 0.001, True),
        ({"effect": "idempotent"}, QUICK_S, True),
        ({"effect": "read"}, QUICK_S + 0.001, False),
        ({"effect": "read"}, None, False),
        ({"effect": "unsafe"}, 0.001, True),
        ({}, QUICK_S + 0.001, False),
        ({}, None, False),
        ({"queue": "gpu"}, 0.001, False),
        ({"effect": "read", "queue": "gpu"}, 0.001, False),
    ],
)
def test_which_tools_are_called_at_once(
    fact: dict[str, str], took_s: float | None, at_once: bool
) -> None:
    known = {"name": "find", "declared": "find", "kind": "function", **fact}
    assert may_be_at_once(ToolFact.model_validate(known), took_s) is at_once
