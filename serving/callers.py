"""Who asks: API keys, what each may ask and spend.

A key's file names a digest or an environment variable, never the key itself; keys are compared by
their digests, all of them every time, in constant time. Nothing here prints or logs one.

```yaml
keys:
  - name: alice
    sha256: 5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8
    models: [support]                 # only these; absent: all that are served
    limits: {requests_per_minute: 60, tokens_per_minute: 100000, usd_per_day: 5}
  - name: shop
    env: SHOP_KEY                     # the key is in that variable
models:
  support: {requests_per_minute: 3}   # for all callers together
```

Without a file: `name:key` pairs, separated by commas.
"""

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from config.problems import ConfigError, Problem
from providers.yamlfiles import load_model

VARIABLE = "CALLBOARD_SERVE_KEYS"
KEY_PREFIX = "sk-callboard-"
LEAST_KEY_CHARS = 16

OWNER = r"[A-Za-z0-9_]{1,40}"
"""A caller's name is a part of the ids of its sessions, so it has no separator in it."""

LOCAL = "local"
"""The caller, where there are no keys."""

_PAIRS = re.compile(rf"\s*{OWNER}:[^,\s]+\s*(,\s*{OWNER}:[^,\s]+\s*)*,?\s*")

Most = Annotated[int, Field(ge=0)]
Usd = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(_Written):
    """What may pass in a window; 0 is no limit. `usd_total` is for ever."""

    requests_per_minute: Most = 0
    requests_per_day: Most = 0
    tokens_per_minute: Most = 0
    tokens_per_day: Most = 0
    usd_per_day: Usd = Decimal(0)
    usd_per_month: Usd = Decimal(0)
    usd_total: Usd = Decimal(0)


class KeyEntry(_Written):
    """One key of the file."""

    name: Annotated[str, StringConstraints(pattern=rf"^{OWNER}$")]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    env: str | None = None
    models: tuple[str, ...] | None = None
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _one_form(self) -> "KeyEntry":
        if (self.sha256 is None) == (self.env is None):
            raise ValueError("give either sha256 or env")
        return self


class KeyFile(_Written):
    """The whole file."""

    keys: tuple[KeyEntry, ...] = ()
    models: Mapping[str, Limits] = {}


@dataclass(frozen=True)
class Caller:
    """Who asks. `models` None: all that are served."""

    name: str
    limits: Limits = field(default_factory=Limits)
    models: frozenset[str] | None = None

    def may_ask(self, model: str) -> bool:
        """Whether a model may be asked."""
        return self.models is None or model in self.models


@dataclass(frozen=True)
class _Key:
    digest: bytes = field(repr=False)
    caller: Caller


@dataclass(frozen=True)
class KeyRing:
    """All keys, and what each model may be asked by all callers together."""

    keys: tuple[_Key, ...] = ()
    models: Mapping[str, Limits] = field(default_factory=dict)

    @property
    def open(self) -> bool:
        """Whether anybody may ask: there are no keys."""
        return not self.keys

    def find(self, key: str) -> Caller | None:
        """Return whose key it is. Takes the same time for every key."""
        digest, found = hashlib.sha256(key.encode()).digest(), None
        for known in self.keys:
            if hmac.compare_digest(known.digest, digest):
                found = known.caller
        return found


def load_keys(given: str | None, env: Mapping[str, str] = os.environ) -> KeyRing:
    """Read the keys: a file's path, or pairs. Raises ConfigError, RouterError; shows no key."""
    if not given or not given.strip():
        return KeyRing()
    if _PAIRS.fullmatch(given):
        return _of_pairs(given)
    file = load_model(Path(given.strip()).expanduser(), KeyFile)
    keys = [_of_entry(entry, env) for entry in file.keys]
    _check_names([key.caller.name for key in keys])
    if not keys:
        raise _problem("the file has no keys: anybody might ask")
    return KeyRing(tuple(keys), file.models)


def new_key() -> tuple[str, str]:
    """Return a fresh key, and the digest that stands for it in a file."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, hashlib.sha256(key.encode()).hexdigest()


def _of_pairs(given: str) -> KeyRing:
    keys = []
    for pair in given.split(","):
        name, _, key = pair.strip().partition(":")
        if name:
            keys.append(_Key(_digest(key, name), Caller(name)))
    _check_names([key.caller.name for key in keys])
    return KeyRing(tuple(keys))


def _of_entry(entry: KeyEntry, env: Mapping[str, str]) -> _Key:
    models = None if entry.models is None else frozenset(entry.models)
    caller = Caller(entry.name, entry.limits, models)
    if entry.sha256 is not None:
        return _Key(bytes.fromhex(entry.sha256), caller)
    key = env.get(entry.env or "", "")
    if not key:
        raise _problem(f"keys: {entry.name}: the variable {entry.env} is not set")
    return _Key(_digest(key, entry.name), caller)


def _digest(key: str, name: str) -> bytes:
    if len(key) < LEAST_KEY_CHARS:
        raise _problem(f"the key of {name} is shorter than {LEAST_KEY_CHARS} characters")
    return hashlib.sha256(key.encode()).digest()


def _check_names(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise _problem(f"two keys have the name {twice[0]}: spending is counted by name")


def _problem(message: str) -> ConfigError:
    return ConfigError([Problem(VARIABLE, 0, "", message)])
