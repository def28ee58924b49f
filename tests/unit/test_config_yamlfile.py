"""YAML with positions: data, lines, and one clear problem for each mistake."""

from pathlib import Path

import pytest

from config import yamlfile
from config.problems import ConfigError
from config.yamlfile import YamlFile, load_yaml, parse_yaml

pytestmark = pytest.mark.unit


def parse(text: str, **env: str) -> YamlFile:
    return parse_yaml(text, Path("t.yaml"), env)


def said(text: str, **env: str) -> list[str]:
    return [str(problem) for problem in parse(text, **env).problems]


def test_data_is_yaml_1_2() -> None:
    loaded = parse("a: yes\nb: 012\nc: true\nd: null\ne: 2026-01-02\nf: 0x10\ng: [1.5, ~]\n1: x")
    assert loaded.data == {
        "a": "yes",
        "b": 12,
        "c": True,
        "d": None,
        "e": "2026-01-02",
        "f": 16,
        "g": [1.5, None],
        "1": "x",
    }


def test_every_value_knows_the_line_of_its_key_or_item() -> None:
    loaded = parse("name: x\nagents:\n  - name: a\n    dependencies:\n      - b\n      - c\n")
    assert loaded.line(("agents",)) == 2
    assert loaded.line(("agents", 0)) == 3
    assert loaded.line(("agents", 0, "dependencies")) == 4
    assert loaded.line(("agents", 0, "dependencies", 1)) == 6
    assert loaded.line(("agents", 0, "missing", 3)) == 3


def test_block_texts_know_their_first_line() -> None:
    assert parse("a: 1\np: |\n  one\n  two\n").blocks == {("p",): 3}


def test_an_empty_file_is_nothing() -> None:
    assert parse("").data is None
    assert parse("# only a remark\n").data is None


def test_duplicate_keys_name_both_lines() -> None:
    assert said("a: 1\nb: 2\na: 3\n") == ['t.yaml:3: "a" is already in line 1']
    assert parse("a: 1\na: 3\n").data == {"a": 1}


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a: [1, 2\nb: 3", "t.yaml:2: not YAML: expected ',' or ']'"),
        ("a:\n\t- b", "t.yaml:2: not YAML: found character '\\t'"),
        ("a: 'x", "t.yaml:1: not YAML: found unexpected end of stream"),
        ("a: *q", "t.yaml:1: not YAML: found undefined alias 'q'"),
        ("a: b: c", "t.yaml:1: not YAML: mapping values are not allowed here"),
        ("---\na: 1\n---\nb: 2", "t.yaml:3: not YAML: but found another document"),
        ("a: \x00", "t.yaml: not YAML: special characters are not allowed"),
        ("[" * 700, "t.yaml: nested too deeply"),
    ],
)
def test_syntax_errors_have_file_and_line(text: str, start: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert str(error.value).startswith(start)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("agents:\n  - name: facts\n   persona: q", "indentation fits none of those above"),
        ("a:\n  - name: facts\n      persona: q", "indented too far"),
        ("a: List: five facts", 'a text with ": " in it has no quotes'),
        ("a: {x} text", "begins with {, [ or a quote has to be in quotes as a whole"),
        ("a:\n\t- b", "indent with spaces"),
        ("a: @ada", "a text that begins with it has to be in quotes"),
        ("a: 1\nb", "a key ends with a colon"),
        ("a: *q", "begins with * has to be in quotes"),
        ("a: 'x", "a quote is not closed"),
        ("a: {b: 1", "is not closed"),
    ],
)
def test_syntax_errors_say_what_to_mend(text: str, cure: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse(text)
    assert cure in str(error.value)


def test_variables() -> None:
    text = 'a: ${A}\nb: ${B:-x y}\nc: "n ${N:-3}"\nd: $${A}\ne: a$b\nf: ${A:-z}\ng: ${E:-z}'
    assert parse(text, A="1 2", E="").data == {
        "a": "1 2",
        "b": "x y",
        "c": "n 3",
        "d": "${A}",
        "e": "a$b",
        "f": "1 2",
        "g": "z",
    }


def test_an_unquoted_variable_is_read_again_and_a_quoted_one_is_text() -> None:
    loaded = parse('a: ${N:-3}\nb: "${N:-3}"\nc: ${F}\nd: ${L}', F="true", L="[1]")
    assert loaded.data == {"a": 3, "b": "3", "c": True, "d": "[1]"}


def test_an_undefined_variable_is_named_with_its_line() -> None:
    (problem,) = said("a: 1\nb: [x, 'y ${NOT_THERE} z']")
    assert problem.startswith("t.yaml:2: b[1]: the environment variable NOT_THERE is not set")
    (problem,) = said("a: ${no.name}")
    assert problem.startswith("t.yaml:1: a: ${ begins a variable")


def test_anchors_and_merge_keys() -> None:
    loaded = parse("base: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}\nd: *b\n")
    assert loaded.data["c"] == {"y": 3, "x": 1}
    assert loaded.data["d"] == {"x": 1, "y": 2}
    assert said("a: &a [*a]") == ["t.yaml:1: a[0]: an anchor may not contain itself"]
    assert said("a: {<<: 3}") == ["t.yaml:1: a: << must refer to a mapping"]
    assert said("a: &x 1\nb: &x 2\n") == []


def test_anchors_cannot_explode() -> None:
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="more than 500,000 values"):
        parse("\n".join(rows))


def test_what_json_cannot_hold_is_a_problem() -> None:
    assert said("a: .inf") == ["t.yaml:1: a: .inf is not a finite number"]
    assert said("a: !thing x") == ["t.yaml:1: a: the tag !thing is not known here"]
    assert said("? [1, 2]\n: 3") == ["t.yaml:1: a key must be a plain text"]


def test_problems_come_all_at_once(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("b: ${NO_B}\na: 1\na: 2\nc: .nan\n")
    with pytest.raises(ConfigError) as error:
        load_yaml(path, {})
    assert [problem.line for problem in error.value.problems] == [1, 3, 4]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def refusal(path: Path) -> str:
        with pytest.raises(ConfigError) as error:
            load_yaml(path, {})
        return str(error.value).removeprefix(str(path))

    assert refusal(tmp_path / "none.yaml") == ": no such file"
    assert refusal(tmp_path) == ": is a directory, not a file"
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"a: 1\nb: caf\xe9\n")
    assert refusal(latin) == ":2: is not UTF-8: bad byte at offset 11"
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (yamlfile.MAX_FILE_BYTES + 1))
    assert refusal(large) == ": is larger than 5 MB"


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert load_yaml(path, {}).data == {"a": 1}
