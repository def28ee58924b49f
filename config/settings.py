"""Settings of the machine and the account: from the environment, and from `.env`.

Ours begin with CALLBOARD_; `.env.example` lists every one with its default, and a test holds the
two together. An empty variable counts as unset, a variable that is set wins over `.env`. What
`.env` has is put into the environment, since providers read their keys (EP_*, and the vendors'
own names) there and nowhere else. Errors name the variable and never show a key.

Addresses, namespaces and TLS of a Temporal server come from `temporalio.envconfig`; only what
overrides it is here.
"""

import logging
import os
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import platformdirs
from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from config.problems import ConfigError, Problem, did_you_mean, explain, spell_path
from config.sealing import PREFIX, split_names
from config.yamlfile import load_yaml, read_text
from contracts.money import MOST_DECIMALS, MOST_DOLLARS
from providers.pricing import PriceOverride

log = logging.getLogger(__name__)

_MAX_DOTENV_BYTES = 1_000_000

_NO_SETTINGS = ("CALLBOARD_DEBUG", "CALLBOARD_EXIT_WITH_PARENT")
"""Of our processes among themselves, and of those who look for a mistake in them."""

_AGENTS = PREFIX + "AGENT_"
"""Of agents: `config.agentlayers` knows them."""


def _decode_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"must be JSON: {error}") from None


def _split_groups(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    names = [name.strip() for name in value.split(",") if name.strip()]
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            raise ValueError("must be names of tool queues (letters, digits, _ and -), with commas")
    return tuple(names)


def _expand_user(path: Path) -> Path:
    return path.expanduser()


UserPath = Annotated[Path, AfterValidator(_expand_user)]


def _folded(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class Settings(BaseSettings):
    """All settings. Durations in seconds, money in dollars; None means "find out"."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    home: UserPath = Field(default_factory=lambda: platformdirs.user_data_path("callboard"))
    artifacts_url: str | None = Field(None, pattern=r"^[a-z][a-z0-9+.-]*://")
    spool_url: str | None = Field(None, pattern=r"^(file:///|(rediss?|unix)://)")
    temporal_address: str | None = Field(None, pattern=r"^[^\s/]+:\d+$")
    temporal_namespace: str | None = None
    temporal_bin: UserPath | None = None
    no_download: Literal["0", "1"] = "0"
    temporal_port: int = Field(7233, ge=0, le=65_535)
    ui_port: int = Field(8233, ge=0, le=65_535)
    cost_budget: Decimal = Field(
        Decimal("100.0"), gt=0, le=MOST_DOLLARS, decimal_places=MOST_DECIMALS, allow_inf_nan=False
    )
    prices: str | None = None
    persona_policy: UserPath | None = None
    capabilities: UserPath | None = None
    concurrency: int = Field(10, ge=1)
    tool_queues: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_groups)] = ()
    redis_url: str | None = Field(None, pattern=r"^(rediss?|unix)://")
    graceful_shutdown: float = Field(25.0, ge=0)
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_folded)
    ] = "INFO"
    encryption_keys: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_names)] = ()
    serve_keys: str | None = Field(None, repr=False)
    server_elsewhere: str | None = Field(
        None, validation_alias=AliasChoices("TEMPORAL_ADDRESS", "TEMPORAL_PROFILE")
    )

    @property
    def has_server(self) -> bool:
        """Whether a Temporal server was named; otherwise the embedded one is started."""
        return bool(self.temporal_address or self.server_elsewhere)

    def price_overrides(self) -> dict[str, PriceOverride]:
        """Return CALLBOARD_PRICES, JSON or a YAML file. Raises `ConfigError`."""
        if self.prices is None:
            return {}
        text = self.prices.strip()
        try:
            raw = _decode_json(text) if text.startswith("{") else _price_file(Path(text))
            return TypeAdapter(dict[str, PriceOverride]).validate_python(raw)
        except ValidationError as error:
            raise ConfigError(
                Problem(f"{PREFIX}PRICES", 0, spell_path(path), message)
                for path, message in explain(error, PriceOverride)
            ) from None
        except ValueError as error:
            raise ConfigError([Problem(f"{PREFIX}PRICES", 0, "", str(error))]) from None


def load_settings(dotenv: Path | None = Path(".env")) -> Settings:
    """Read `.env`, where there is one, into the environment, and return the settings.

    Raises `ConfigError` with every variable that is wrong. An unknown CALLBOARD_ variable is
    logged with the nearest one that exists.
    """
    if dotenv is not None and dotenv.exists():
        read_text(dotenv, _MAX_DOTENV_BYTES)
        for name, value in dotenv_values(dotenv, interpolate=False, encoding="utf-8-sig").items():
            if value and not os.environ.get(name):
                os.environ[name] = value
    _note_unknown(os.environ)
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigError(
            Problem(_variable(str(path[0])), 0, spell_path(path[1:]), message)
            for path, message in explain(error, Settings, show_values=False)
        ) from None


def variables() -> list[str]:
    """Return the names of all of our variables, as the environment spells them."""
    own = (name for name, field in Settings.model_fields.items() if not field.validation_alias)
    return [PREFIX + name.upper() for name in own]


def _note_unknown(env: Mapping[str, str]) -> None:
    known = variables()
    for name in sorted(env):
        if name.startswith(_AGENTS):
            continue
        if name.startswith(PREFIX) and name not in (*known, *_NO_SETTINGS):
            log.warning("%s is no setting.%s", name, did_you_mean(name, known))


def _price_file(path: Path) -> Any:
    data = load_yaml(path, os.environ).data
    return {} if data is None else data


def _variable(field: str) -> str:
    return field if field.isupper() else PREFIX + field.upper()
