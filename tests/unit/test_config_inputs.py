"""Inputs from the command line: types, files, and all mistakes at once."""

import io
from pathlib import Path
from typing import Any

import pytest

from config import inputs
from config.inputs import InputError, parse_inputs
from contracts.base import Json
from contracts.teams import InputSpec, ModelStep, TeamSpec
from rules.teaminputs import InputMisfit, filled, never_fits

pytestmark = pytest.mark.unit


def team(**specs: InputSpec) -> TeamSpec:
    step = ModelStep(name="a", prompt_template="x")
    return TeamSpec(name="t", agents=(step,), inputs=specs)


ALL = team(
    data=InputSpec(type="text"),
    side=InputSpec(type="string", required=False, default="buyer", enum=("buyer", "seller")),
    n=InputSpec(type="number", required=False, default=1),
    on=InputSpec(type="boolean", required=False, default=False),
    tags=InputSpec(type="list", required=False, default=[]),
    doc=InputSpec(type="file", required=False),
)


def values(*given: str, **more: Any) -> dict[str, Any]:
    return {name: got.value for name, got in parse_inputs(ALL, given, **more).items()}


def problems(*given: str, of: TeamSpec = ALL, **more: Any) -> list[str]:
    with pytest.raises(InputError) as error:
        parse_inputs(of, given, **more)
    return error.value.problems


def test_defaults_and_order() -> None:
    assert values("data=x") == {
        "data": "x",
        "side": "buyer",
        "n": 1,
        "on": False,
        "tags": [],
        "doc": None,
    }


def test_types() -> None:
    got = values("data=a=b", "side=seller", "n=2.5", "on=true", 'tags=["a", 1]')
    assert got["data"] == "a=b"
    assert (got["side"], got["n"], got["on"], got["tags"]) == ("seller", 2.5, True, ["a", 1])


def test_lists_have_three_spellings() -> None:
    assert values("data=", "tags=a, b")["tags"] == ["a", "b"]
    assert values("data=", "tags=a", "tags=b,c")["tags"] == ["a", "b,c"]
    assert values("data=", "tags=")["tags"] == []


def test_texts_have_bytes_to_store_and_the_rest_is_json() -> None:
    got = parse_inputs(ALL, ["data=é", "n=3"])
    assert (got["data"].kind, got["data"].data) == ("text", b"\xc3\xa9")
    assert (got["n"].kind, got["n"].data) == ("json", b"3")
    assert (got["doc"].kind, got["doc"].data) == ("json", b"null")


def test_files_are_read_beside_the_base(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("report")
    (tmp_path / "t.json").write_text("[1, 2]")
    got = values("data=@r.txt", "doc=r.txt", "tags=@t.json", base=tmp_path)
    assert (got["data"], got["doc"], got["tags"]) == ("report", "report", [1, 2])
    assert values("data=@@r.txt", "doc=@r.txt", base=tmp_path)["data"] == "@r.txt"


def test_standard_input() -> None:
    assert values("data=@-", stdin=io.BytesIO("grüß".encode()))["data"] == "grüß"


def test_a_json_file_gives_several_and_single_ones_win(tmp_path: Path) -> None:
    (tmp_path / "doc.txt").write_text("d")
    (tmp_path / "in.json").write_text('{"data": "@x", "n": 4, "doc": "doc.txt", "tags": null}')
    found = problems(base=tmp_path, file=Path("in.json"))
    assert found == ["--input tags: must be a list"]
    (tmp_path / "in.json").write_text('{"data": "@x", "n": 4, "doc": "doc.txt"}')
    got = values("n=5", base=tmp_path, file=Path("in.json"))
    assert (got["data"], got["n"], got["doc"]) == ("@x", 5, "d")
    (tmp_path / "in.json").write_text('{"data": "x", "doc": null}')
    assert values(base=tmp_path, file=Path("in.json"))["doc"] is None


def test_all_missing_inputs_are_listed() -> None:
    two = team(a=InputSpec(type="text"), b=InputSpec(type="number"), c=InputSpec())
    assert problems("b=1", of=two) == ["missing inputs: a (text), c (string); give --input a=…"]


def test_unknown_inputs_name_the_nearest() -> None:
    assert problems("dat=x", "data=x") == [
        '--input dat: no input named "dat". Did you mean "data"?'
    ]
    assert problems("zzz=x", of=team()) == [
        '--input zzz: no input named "zzz". The team has: none.'
    ]


def test_mistakes_come_all_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"ab\xff")
    found = problems(
        "nonsense", "side=byer", "n=x", "on=yes", "tags=[1", "doc=bad.txt", base=tmp_path
    )
    assert found == [
        '--input "nonsense": write name=value or name=@path',
        '--input side: must be one of "buyer", "seller". Did you mean "buyer"?',
        "--input n: must be a number",
        "--input on: must be true or false",
        found[4],
        "--input doc: bad.txt: is not UTF-8: bad byte at offset 2",
        "missing inputs: data (text); give --input data=…",
    ]
    assert found[4].startswith("--input tags: is no JSON list")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert problems("data=@none", base=tmp_path) == ["--input data: none: no such file"]
    (problem,) = problems("data=@.", base=tmp_path)
    assert problem.startswith("--input data: .: cannot be read: ")
    (tmp_path / "x.json").write_text("[]")
    assert problems(base=tmp_path, file=Path("x.json")) == [
        "--inputs x.json: must be a JSON object"
    ]
    assert problems(base=tmp_path, file=Path("no.json")) == ["--inputs no.json: no such file"]
    assert problems("data=a", "data=b") == ["--input data: is given 2 times"]


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as stream:
        stream.truncate(inputs.MAX_INPUT_BYTES + 1)
    assert problems("data=@big", base=tmp_path) == ["--input data: big: is larger than 100 MB"]


def test_booleans_are_no_numbers() -> None:
    assert problems("data=x", "n=true") == ["--input n: must be a number"]
    assert problems("data=x", "on=1") == ["--input on: must be true or false"]


@pytest.mark.parametrize(
    ("kind", "given", "wrong"),
    [
        ("list", 5, "must be a list, not 5"),
        ("list", "[1]", 'must be a list, not "[1]"'),
        ("list", "{a.items}", None),
        ("list", "{a} {b}", 'must be a list, not "{a} {b}"'),
        ("number", True, "must be a number, not true"),
        ("number", "{a}.5", 'must be a number, not "{a}.5"'),
        ("boolean", False, None),
        ("string", 2026, None),
        ("text", "{a} and {{b}}", None),
    ],
)
def test_what_an_inner_team_can_never_take(kind: Any, given: Json, wrong: str | None) -> None:
    assert never_fits(InputSpec(type=kind), given) == wrong


def test_an_inner_team_takes_one_of_its_values() -> None:
    spec = InputSpec(type="string", enum=("buyer", "seller"))
    assert never_fits(spec, "{a}") is None
    assert never_fits(spec, "buyer") is None
    assert never_fits(spec, "buier") == 'must be one of "buyer", "seller". Did you mean "buyer"?'


def test_an_inner_team_has_its_defaults_where_nothing_is_given() -> None:
    assert filled(ALL.inputs, {"data": "x", "n": None, "tags": ["a"]}) == {
        "data": "x",
        "side": "buyer",
        "n": 1,
        "on": False,
        "tags": ["a"],
        "doc": None,
    }


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "data is required, and there is nothing to give"),
        ({"data": "x", "n": "two"}, 'n must be a number, not "two"'),
        ({"data": "x", "side": "byer"}, 'must be one of "buyer", "seller". Did you mean "buyer"?'),
    ],
)
def test_what_an_inner_team_is_given_and_cannot_take_is_named(
    given: dict[str, Json], wrong: str
) -> None:
    with pytest.raises(InputMisfit) as raised:
        filled(ALL.inputs, given)
    assert wrong in str(raised.value)
