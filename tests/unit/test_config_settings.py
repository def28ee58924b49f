"""Settings: defaults, the environment, `.env`, and errors that name the variable."""

import logging
import os
from decimal import Decimal
from pathlib import Path

import pytest

from config.problems import ConfigError
from config.settings import Settings, load_settings, variables
from providers.registry import VENDORS

pytestmark = pytest.mark.unit

PROVIDER_VARIABLES = {
    *(name for vendor in VENDORS.values() for name in (*vendor.keys, *vendor.base_urls)),
    "EP_DEFAULT_PROVIDER",
    "EP_TIMEOUT",
    "EP_QUALITY_FABRIC_URL",
    "EP_QUALITY_FABRIC_API_KEY",
}
EXAMPLE = Path(__file__).parents[2] / ".env.example"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [*os.environ]:
        if name.startswith(("CALLBOARD_", "EP_", "TEMPORAL_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def refusal() -> list[str]:
    with pytest.raises(ConfigError) as error:
        load_settings()
    return [str(problem) for problem in error.value.problems]


def test_defaults() -> None:
    settings = load_settings()
    assert settings.home.name == "callboard"
    assert settings.artifacts_url is None
    assert not settings.has_server
    assert settings.cost_budget == 100
    assert settings.graceful_shutdown == 25
    assert settings.concurrency == 10
    assert settings.price_overrides() == {}
    assert settings.log_level == "INFO"
    assert settings.encryption_keys == ()


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_HOME", "~/boards")
    monkeypatch.setenv("CALLBOARD_ARTIFACTS_URL", "s3://bucket/prefix")
    monkeypatch.setenv("CALLBOARD_LOG_LEVEL", "debug")
    monkeypatch.setenv("CALLBOARD_ENCRYPTION_KEYS", "KEY_2026, KEY_2025")
    monkeypatch.setenv("CALLBOARD_COST_BUDGET", "2.50")
    monkeypatch.setenv("CALLBOARD_CONCURRENCY", "")
    settings = load_settings()
    assert settings.home == Path.home() / "boards"
    assert settings.artifacts_url == "s3://bucket/prefix"
    assert settings.log_level == "DEBUG"
    assert settings.encryption_keys == ("KEY_2026", "KEY_2025")
    assert settings.cost_budget == Decimal("2.50")
    assert settings.concurrency == 10


@pytest.mark.parametrize("name", ["CALLBOARD_TEMPORAL_ADDRESS", "TEMPORAL_ADDRESS"])
def test_an_address_means_that_there_is_a_server(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "temporal.example:7233")
    settings = load_settings()
    assert settings.has_server
    assert (settings.temporal_address is not None) == (name == "CALLBOARD_TEMPORAL_ADDRESS")


def test_a_profile_means_that_there_is_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_PROFILE", "cloud")
    assert load_settings().has_server


def test_dotenv_reaches_providers_and_the_shell_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EP_OPENAI_API_KEY", "")
    monkeypatch.setenv("CALLBOARD_UI_PORT", "9000")
    monkeypatch.setenv("CALLBOARD_CONCURRENCY", "")
    (tmp_path / ".env").write_text(
        "EP_OPENAI_API_KEY=k$ey\nCALLBOARD_UI_PORT=1\nCALLBOARD_CONCURRENCY=3  # remark\n"
    )
    settings = load_settings()
    assert os.environ["EP_OPENAI_API_KEY"] == "k$ey"
    assert settings.ui_port == 9000
    assert settings.concurrency == 3


def test_errors_name_every_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_UI_PORT", "70000")
    monkeypatch.setenv("CALLBOARD_COST_BUDGET", "much")
    monkeypatch.setenv("CALLBOARD_NO_DOWNLOAD", "perhaps")
    monkeypatch.setenv("CALLBOARD_LOG_LEVEL", "loud")
    found = refusal()
    assert {line.split(":")[0] for line in found} == {
        "CALLBOARD_UI_PORT",
        "CALLBOARD_COST_BUDGET",
        "CALLBOARD_NO_DOWNLOAD",
        "CALLBOARD_LOG_LEVEL",
    }
    assert "CALLBOARD_UI_PORT: must be less than or equal to 65535" in found


def test_a_key_in_place_of_its_name_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ENCRYPTION_KEYS", "c2VjcmV0LXNlY3JldA==")
    (problem,) = refusal()
    assert problem.startswith("CALLBOARD_ENCRYPTION_KEYS: must be names")
    assert "c2Vj" not in problem


def test_a_wrong_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_ARTIFACTS_URL", "user:password@bucket")
    (problem,) = refusal()
    assert problem.startswith("CALLBOARD_ARTIFACTS_URL: ")
    assert "password" not in problem


def test_an_unknown_variable_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CALLBOARD_CONCURENCY", "3")
    with caplog.at_level(logging.WARNING):
        load_settings()
    assert (
        'CALLBOARD_CONCURENCY is no setting. Did you mean "CALLBOARD_CONCURRENCY"?' in caplog.text
    )


def test_prices_from_json_and_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CALLBOARD_PRICES", '{"m": {"input": 1.5, "output": "6"}}')
    assert load_settings().price_overrides()["m"].input == Decimal("1.5")
    (tmp_path / "prices.yaml").write_text("openai/x:\n  input: 0.1\n  output: 0.2\n")
    monkeypatch.setenv("CALLBOARD_PRICES", "prices.yaml")
    assert load_settings().price_overrides()["openai/x"].output == Decimal("0.2")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ('{"m": {"input": 1}}', 'CALLBOARD_PRICES: m: "output" is missing'),
        ("{no json", "CALLBOARD_PRICES: must be JSON"),
        ("none.yaml", "none.yaml: no such file"),
    ],
)
def test_prices_that_cannot_be_used(value: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALLBOARD_PRICES", value)
    with pytest.raises(ConfigError) as error:
        load_settings().price_overrides()
    assert str(error.value).startswith(said)


def example_variables() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in EXAMPLE.read_text().splitlines():
        name, equals, value = line.removeprefix("# ").partition("=")
        if equals and name.isupper() and " " not in name:
            assert name not in found, f"{name} twice"
            found[name] = value
    return found


def test_the_example_has_every_variable_and_no_other() -> None:
    assert set(example_variables()) == {*variables(), *PROVIDER_VARIABLES}


def test_the_example_has_the_defaults() -> None:
    example = example_variables()
    assert example["EP_TIMEOUT"] == "300"
    for name, field in Settings.model_fields.items():
        variable = f"CALLBOARD_{name.upper()}"
        if variable in example:
            default = "" if field.default_factory else field.default
            assert example[variable] == ("" if default in (None, (), {}) else str(default))


def test_the_example_explains_every_block() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        name, equals, _ = line.removeprefix("# ").partition("=")
        if equals and name.isupper() and " " not in name:
            above = lines[number - 1]
            assert above.startswith("# "), line


def test_the_seed_s_variables_are_in_the_example() -> None:
    seed = {"EP_OPENAI_API_KEY", "EP_ANTHROPIC_API_KEY", "EP_GEMINI_API_KEY", "GOOGLE_API_KEY"}
    assert seed | {"EP_DEFAULT_PROVIDER", "EP_TIMEOUT"} <= set(example_variables())


def test_the_example_works_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(EXAMPLE.read_bytes())
    assert load_settings() == Settings()
