"""Prompt templates: what they accept, what they refuse and in which words, what they render."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.templates import (
    Reference,
    TemplateError,
    bound_bytes,
    check,
    parse,
    render,
    text_of,
)
from tests.support.cases import cases

pytestmark = pytest.mark.unit

KNOWN = ("contract", "side", "clauses")


def show(text: str, values: dict[str, object], **options: object) -> str:
    return render(parse(text, **options), values)  # type: ignore[arg-type]


def messages(text: str, known: object = KNOWN, **options: object) -> list[str]:
    return [str(problem) for problem in check(text, known, **options)]  # type: ignore[arg-type]


def test_references_carry_path_flag_and_position() -> None:
    template = parse("Dear {who}: {risk.0.why-not?}", {"who", "risk"})
    assert template.references == (
        Reference("who", (), False, 5),
        Reference("risk", (0, "why-not"), True, 12),
    )
    assert template.parts[0] == "Dear "
    assert template.literal_bytes == len("Dear : ")
    assert str(template.references[1]) == "{risk.0.why-not?}"


def test_a_name_is_listed_once_per_occurrence() -> None:
    assert [r.name for r in parse("{a}{b}{a}").references] == ["a", "b", "a"]


def test_literal_bytes_are_utf8() -> None:
    assert parse("é{{€}}").literal_bytes == len("é{€}".encode())


def test_D31_a_dependency_is_substituted() -> None:
    assert show("Use {a}", {"a": "the output"}) == "Use the output"


def test_D31_unknown_placeholder_is_a_clear_error() -> None:
    with pytest.raises(TemplateError, match=r"\{b\} is missing: write \{b\?\}") as caught:
        show("Use {b}", {"a": 1})
    assert caught.value.position == 4
    assert not isinstance(caught.value, KeyError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{A}"),
        ("{{{{a}}}}", "{{a}}"),
        ("{{", "{"),
        ("}}", "}"),
        ("{a}{{}}{a}", "A{}A"),
        ("", ""),
    ],
)
def test_doubled_braces_are_literal(text: str, expected: str) -> None:
    assert show(text, {"a": "A"}) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("é\n", "é\n"),
        (3, "3"),
        (True, "true"),
        (2.5, "2.5"),
        (Decimal("1.50"), "1.50"),
        (Decimal("1E+3"), "1000"),
        (["é", {"k": None}], '["é",{"k":null}]'),
        ({"cost": Decimal("0.25"), "n": Decimal(3)}, '{"cost":0.25,"n":3}'),
        ("", ""),
        (0, "0"),
        (False, "false"),
        ([], "[]"),
    ],
)
def test_values_render_naturally(value: object, expected: str) -> None:
    assert show("{v}", {"v": value}) == expected
    assert show("{v?}", {"v": value}) == expected


def test_fields_and_items() -> None:
    values = {"a": {"b": [{"c": "deep"}], "0": "key", "007": "bond"}}
    assert show("{a.b.0.c} {a.0} {a.007}", values) == "deep key bond"


@pytest.mark.parametrize("path", ["a.x", "a.l.9", "a.l.x", "a.s.0", "a.n.x", "a.n", "b", "b.c"])
def test_missing_or_null_is_empty_if_optional_and_named_if_not(path: str) -> None:
    values = {"a": {"l": [1], "s": "text", "n": None}}
    assert show(f"<{{{path}?}}>", values) == "<>"
    with pytest.raises(TemplateError) as caught:
        show(f"<{{{path}}}>", values)
    assert f"{{{path}}} is missing" in str(caught.value)
    assert caught.value.position == 1


def test_team_file_braces_in_a_prompt_are_explained() -> None:
    assert messages('Answer as {"kind"}') == [
        'unknown name in {"kind"}: write {{"kind"}} for literal braces'
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{contrct}", 'unknown name in {contrct}. Did you mean "contract"?'),
        (
            "{kind}",
            "unknown name in {kind} (have: clauses, contract, side): "
            "write {{kind}} for literal braces",
        ),
        ("{}", "unknown name in {}: write {{}} for literal braces"),
        ("{ side }", "spaces in { side }: write {side}"),
        ("{side.}", "malformed reference {side.}: write {side} or {side.field}"),
        ("{side?.x}", "malformed reference {side?.x}: write {side} or {side.field}"),
        ("a } b", 'single "}": write }} for a literal brace'),
        ("a { b", '"{" is never closed: write {{ for a literal brace'),
        (
            '{"a": {"b": 1}}',
            'unknown name in {"a": {"b": 1}}: write {{"a": {{"b": 1}}}} for literal braces',
        ),
        (
            '{"level": 1,\n "reason": "because it is long"}',
            'unknown name in {"level": 1, "reason": "because it is …}: '
            "write {{ and }} for literal braces",
        ),
    ],
)
def test_problems_say_what_to_write(text: str, message: str) -> None:
    assert messages(text) == [message]
    with pytest.raises(TemplateError) as caught:
        parse(text, KNOWN)
    assert str(caught.value) == message


def test_all_problems_are_reported_with_their_positions() -> None:
    problems = check("{x1} {side} {y2} } {contract.}", KNOWN)
    assert [problem.position for problem in problems] == [0, 12, 17, 19]


def test_any_name_is_accepted_where_none_are_declared() -> None:
    assert check("{anything.at.all?}") == []
    assert messages("{anything", None) != []


def test_fields_are_checked_against_the_schema() -> None:
    schemas = {
        "clauses": {
            "type": "array",
            "items": {"type": "object", "properties": {"title": {"type": "string"}}},
        }
    }
    assert check("{clauses.0.title} {clauses} {side.anything}", KNOWN, schemas=schemas) == []
    assert messages("{clauses.0.titel}", schemas=schemas) == [
        '{clauses.0.titel}: clauses.0 has no field "titel". Did you mean "title"?'
    ]
    assert messages("{clauses.title}", schemas=schemas) == [
        '{clauses.title}: clauses is a list, it has no field "title"'
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"kind": "x"} {side}', '{"kind": "x"} S'),
        ('{"a": {"b": {side}}}', '{"a": {"b": S}}'),
        ("{{ jinja }} {% if %} }{ {", "{{ jinja }} {% if %} }{ {"),
        ("{{side}}", "{side}"),
        ("{{side.x?}}", "{side.x?}"),
        ("{{side?.x}}", "{side?.x}"),
        ("{{{side}}}", "{S}"),
        ("{{{other}}}", "{{{other}}}"),
        ("{side: 1} {side-by} {sides}", "{side: 1} {side-by} {sides}"),
        ("{ side }", "{ side }"),
        ("function() { return {contrct}; }", "function() { return {contrct}; }"),
        ("{{side: 1}}", "{{side: 1}}"),
    ],
)
def test_prompt_files_keep_their_braces(text: str, expected: str) -> None:
    assert show(text, {"side": "S"}, known=KNOWN, lenient=True) == expected


def test_prompt_files_still_report_what_begins_with_a_known_name() -> None:
    assert messages("{side.}", lenient=True) == [
        "malformed reference {side.}: write {side} or {side.field}"
    ]
    assert messages("{side.x and no end", lenient=True) == []


def test_prompt_file_without_declared_names_takes_every_reference() -> None:
    assert show("{a} {b: 1}", {"a": 1}, lenient=True) == "1 {b: 1}"


def test_many_unclosed_braces_take_linear_time() -> None:
    assert len(check("{ " * 50_000, KNOWN)) == 50_000


def test_bound_needs_a_size_for_what_is_required() -> None:
    template = parse("{a}{b?}")
    assert bound_bytes(template, {"a": 5}) == 5
    with pytest.raises(TemplateError, match=r"\{a\} has no size"):
        bound_bytes(template, {"b": 5})


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["x", "y", "0"]), inner, max_size=3)
    ),
    max_leaves=8,
)
pieces = st.lists(
    st.one_of(
        st.text(max_size=12).map(lambda t: t.replace("{", "{{").replace("}", "}}")),
        st.builds(
            lambda name, path, mark: "{" + ".".join([name, *path]) + mark + "}",
            st.sampled_from(["a", "b"]),
            st.lists(st.sampled_from(["x", "y", "0"]), max_size=2),
            st.just("?"),
        ),
    ),
    max_size=8,
)


@cases(300)
@given(pieces, json_values, json_values)
def test_rendered_size_never_passes_its_bound(parts: list[str], a: object, b: object) -> None:
    template = parse("".join(parts), {"a", "b"})
    values = {"a": a, "b": b}
    sizes = {name: len(text_of(value).encode("utf-8")) for name, value in values.items()}
    assert len(render(template, values).encode()) <= bound_bytes(template, sizes)


@cases(300)
@given(st.text(alphabet='{}a.?0 \n"é', max_size=40), st.booleans())
def test_any_text_either_parses_or_says_where_it_is_wrong(text: str, lenient: bool) -> None:
    problems = check(text, {"a"}, lenient)
    assert all(0 <= problem.position < len(text) for problem in problems)
    if not problems:
        template = parse(text, {"a"}, lenient)
        assert all(text[r.position] == "{" for r in template.references)


@cases(200)
@given(st.text(alphabet="{}a.?0 \n", max_size=40))
def test_doubling_all_braces_gives_the_text_back(text: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert show(doubled, {}, known={"a"}) == text


@cases(200)
@given(json_values)
def test_structures_render_as_json_that_reads_back(value: object) -> None:
    if not isinstance(value, str):
        assert json.loads(text_of(value)) == value
