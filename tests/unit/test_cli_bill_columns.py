"""No kind of token is left out of a bill: every field of a usage has its column."""

import csv
import io
from dataclasses import fields
from decimal import Decimal

import pytest

from client.cli.bill_tables import COUNTS
from client.cli.bills import COLUMNS, USAGE, _write_csv
from contracts.messages import Usage
from contracts.runs import AttemptRecord, RunCost
from rules.billing import Bill, Line
from rules.usages import total

pytestmark = pytest.mark.unit

NUMBERS = [field.name for field in fields(Usage) if field.name not in ("raw", "estimated")]


def test_each_number_of_a_usage_has_its_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(USAGE) == {*NUMBERS, "estimated"}
    values = {name: 1000 + place for place, name in enumerate(NUMBERS)}
    attempt = AttemptRecord(
        step="a",
        number=1,
        provider="p",
        model="m",
        state="settled",
        reserved=Decimal(1),
        usage=Usage(**values, estimated=True),  # type: ignore[arg-type]
        stored_token_hours=7,
    )
    money = dict.fromkeys(("budget", "cost", "served", "uncertain", "reserved"), Decimal(0))
    cost = RunCost(run_id="r", by_step={}, attempts=(attempt,), **money)
    _write_csv(Bill("r", cost, (Line("r", "a#1", attempt),)))
    header, row = csv.reader(io.StringIO(capsys.readouterr().out))
    assert tuple(header) == COLUMNS
    assert len(row) == len(header)
    written = dict(zip(header, row, strict=True))
    assert {name: int(written[name]) for name in NUMBERS} == values
    assert (written["estimated"], written["stored_token_hours"]) == ("1", "7")


def test_each_kind_of_token_is_shown_and_summed_up() -> None:
    assert set(COUNTS.values()) == set(NUMBERS) - {"total_tokens"}
    one = Usage(**dict.fromkeys(NUMBERS, 1))  # type: ignore[arg-type]
    both = total([one, one])
    assert both is not None
    assert {name: getattr(both, name) for name in NUMBERS} == dict.fromkeys(NUMBERS, 2)
