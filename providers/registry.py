"""Providers by name: whether one can be used here, and how its client is made.

Nothing of a vendor is imported before a client of it is created: availability is found out from
the environment, from installed packages and from the path. Keys are read here, in the order
EP_X, then X, and handed to the adapter; no key enters a message. What a provider lacks is said
together with its cure.

A program adds its own providers with `register`, by name, before it starts a worker.
"""

import contextlib
import importlib
import importlib.util
import inspect
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from providers.exceptions import (
    ExecutionPlatformError,
    ProviderError,
    RouterError,
    Unavailable,
)
from providers.keys import is_loopback
from providers.spi import LLMClient

_log = logging.getLogger(__name__)

_IMPORTED_LATE = ("httpcore2", "anyio._backends._asyncio", "jsonschema.validators")

Environment = Mapping[str, str]
Factory = Callable[..., LLMClient]
Check = Callable[[Environment], "Available | Missing"]


@dataclass(frozen=True)
class Available:
    """The provider can be used in this process."""

    provider: str
    ok: Literal[True] = True


@dataclass(frozen=True)
class Missing:
    """The provider cannot be used here: why, and what to do about it."""

    provider: str
    reason: str
    cure: str
    ok: Literal[False] = False

    def __str__(self) -> str:
        return f"{self.reason}. {self.cure}"


@dataclass(frozen=True)
class Vendor:
    """How a provider's adapter is found. `keys` in order of precedence; none means no key."""

    name: str
    adapter: str
    keys: tuple[str, ...] = ()
    base_urls: tuple[str, ...] = ()
    sdk: str | None = None
    install: str = ""
    program: str | None = None


def _keys(*names: str, suffix: str) -> tuple[str, ...]:
    return tuple(f"{name}_{suffix}" for name in names)


VENDORS: dict[str, Vendor] = {
    vendor.name: vendor
    for vendor in (
        Vendor(
            "openai",
            "providers.openai_adapter:OpenAIClient",
            keys=_keys("EP_OPENAI", "OPENAI", suffix="API_KEY"),
            base_urls=_keys("EP_OPENAI", "OPENAI", suffix="BASE_URL"),
            sdk="openai",
            install="uv sync, or pip install openai",
        ),
        Vendor(
            "anthropic",
            "providers.anthropic_adapter:AnthropicClient",
            keys=_keys("EP_ANTHROPIC", "ANTHROPIC", suffix="API_KEY"),
            base_urls=_keys("EP_ANTHROPIC", "ANTHROPIC", suffix="BASE_URL"),
            sdk="anthropic",
            install="uv sync, or pip install anthropic",
        ),
        Vendor(
            "gemini",
            "providers.gemini_adapter:GeminiClient",
            keys=_keys("EP_GEMINI", "GEMINI", "GOOGLE", suffix="API_KEY"),
            base_urls=("EP_GEMINI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"),
            sdk="google.genai",
            install="uv sync, or pip install google-genai",
        ),
        Vendor(
            "claude_agent",
            "providers.claude_agent:ClaudeAgentClient",
            sdk="claude_agent_sdk",
            install="make venv EXTRA=claude, uv sync --extra claude, "
            "or pip install claude-agent-sdk",
            program="claude",
        ),
        Vendor("simulated", "providers.simulated:SimulatedClient"),
    )
}
"""The providers that come with Callboard."""


@dataclass(frozen=True)
class _Registered:
    factory: Factory
    check: Check | None


_registered: dict[str, _Registered] = {}


def register(name: str, factory: Factory, check: Check | None = None) -> None:
    """Add a provider, or replace one of the same name, in this process.

    `factory(model=…, **options)` makes a client; `check(env)` tells whether it can be used
    (default: always). Raises `RouterError` for a name that is no identifier.
    """
    if not name.isidentifier():
        raise RouterError(f"a provider's name must be an identifier, not {name!r}")
    _registered[name] = _Registered(factory, check)


def unregister(name: str) -> None:
    """Take back `register`; a built-in provider of that name is back. Unknown names are fine."""
    _registered.pop(name, None)


def names() -> tuple[str, ...]:
    """Return all known providers, the user's own last."""
    return (*VENDORS, *(name for name in _registered if name not in VENDORS))


def availability(provider: str, env: Environment | None = None) -> Available | Missing:
    """Tell whether a provider can be used in this process; never raises, asks no network."""
    env = os.environ if env is None else env
    if provider in _registered:
        check = _registered[provider].check
        return check(env) if check else Available(provider)
    vendor = VENDORS.get(provider)
    if vendor is None:
        return Missing(
            provider,
            f"no provider named {provider!r} is registered (known: {', '.join(names())})",
            f'Register it in the worker\'s program: registry.register("{provider}", factory)',
        )
    return missing_sdk(vendor) or missing_program(vendor) or _missing_key(vendor, env)


def missing_sdk(vendor: Vendor) -> Missing | None:
    """Return what to install where the vendor's package is not there."""
    if vendor.sdk is None or _installed(vendor.sdk):
        return None
    return Missing(
        vendor.name, f"the Python package {vendor.sdk!r} is not installed", f"Run {vendor.install}"
    )


@lru_cache
def _installed(package: str) -> bool:
    """Tell whether a package can be imported. Parents of dotted names are imported."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def missing_program(vendor: Vendor) -> Missing | None:
    """Look for a command-line program: bundled with its SDK, or on the path."""
    if vendor.program is None or vendor.sdk is None:
        return None
    spec = importlib.util.find_spec(vendor.sdk)
    folders = (
        [Path(p) / "_bundled" for p in (spec.submodule_search_locations or ())] if spec else []
    )
    bundled = (
        folder / name for folder in folders for name in (vendor.program, f"{vendor.program}.exe")
    )
    if any(path.is_file() for path in bundled) or shutil.which(vendor.program):
        return None
    return Missing(
        vendor.name,
        f"the program {vendor.program!r} is neither bundled with {vendor.sdk} nor on PATH",
        "Install it: npm install -g @anthropic-ai/claude-code; then check: claude --version",
    )


def _missing_key(vendor: Vendor, env: Environment) -> Available | Missing:
    if not vendor.keys:
        return Available(vendor.name)
    first, *others = vendor.keys
    cure = f"Set {first}"
    if others:
        cure += f" (or {', '.join(others)})"
    variable = _set_variable(vendor.keys, env)
    if variable is None and _on_this_machine(vendor, env):
        return Available(vendor.name)
    if variable is None:
        empty = [name for name in vendor.keys if name in env]
        reason = f"{' and '.join(empty)} set but empty" if empty else f"{first} is not set"
        return Missing(vendor.name, reason, cure)
    if any(c.isspace() or not c.isprintable() for c in env[variable]):
        return Missing(
            vendor.name,
            f"{variable} contains white space or control characters",
            "Copy the key again, without quotes, blanks or line ends",
        )
    return Available(vendor.name)


def _on_this_machine(vendor: Vendor, env: Environment) -> bool:
    """Tell whether the provider's address is a server of this machine, which needs no key."""
    variable = _set_variable(vendor.base_urls, env)
    return variable is not None and is_loopback(env[variable])


def _set_variable(variables: tuple[str, ...], env: Environment) -> str | None:
    """Return the first variable that has a value; empty ones count as not set."""
    return next((name for name in variables if env.get(name)), None)


def create(
    provider: str,
    model: str,
    options: Mapping[str, Any] | None = None,
    env: Environment | None = None,
) -> LLMClient:
    """Make a client. `options` are the adapter's keyword arguments.

    Raises `Unavailable` (a `ProviderError`) with the cure where a key, package or program is
    missing, `RouterError` for an unknown provider or option. Opens no connection.
    """
    env = os.environ if env is None else env
    if provider not in names():
        raise RouterError(str(availability(provider, env)))
    options = _checked_options(provider, dict(options or {}))
    vendor = VENDORS.get(provider)
    if vendor is not None and vendor.base_urls and options.get("base_url"):
        env = {**env, vendor.base_urls[0]: str(options["base_url"])}
    found = availability(provider, env)
    if isinstance(found, Missing):
        raise Unavailable(f"provider {provider!r} cannot be used: {found}", provider=provider)
    if provider in _registered:
        return _call(provider, _registered[provider].factory, {"model": model, **options})
    vendor = VENDORS[provider]
    return _call(provider, _adapter(vendor), {"model": model, **account(vendor, env), **options})


def warm(providers: Iterable[str]) -> None:
    """Import the adapters and SDKs of some providers now: up to a second each, off the first call.

    With them what they all import late: the transport of the HTTP client, and the checks of
    schemas. Best effort: what cannot be imported is logged, and left for `create` to tell.
    """
    for late in _IMPORTED_LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(late)
    for name in providers:
        vendor = VENDORS.get(name)
        if vendor is None or name in _registered:
            continue
        try:
            module = importlib.import_module(vendor.adapter.split(":")[0])
            getattr(module, "warm", lambda: None)()
        except ImportError as error:
            _log.warning("provider %s cannot be loaded: %s", name, error)


def _checked_options(provider: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuse what must not travel in a run's options."""
    if "api_key" in options:
        raise RouterError(
            f"provider {provider!r}: a key must not stand in the options, which are stored with "
            "the run; set it in the worker's environment"
        )
    return options


def account(vendor: Vendor, env: Environment) -> dict[str, str]:
    """Return key and address from the environment, where they are set."""
    found = {
        "api_key": _set_variable(vendor.keys, env),
        "base_url": _set_variable(vendor.base_urls, env),
    }
    return {name: env[variable] for name, variable in found.items() if variable}


def _adapter(vendor: Vendor) -> Factory:
    module, name = vendor.adapter.split(":")
    try:
        factory: Factory = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise Unavailable(
            f"provider {vendor.name!r} cannot be used: {error}. "
            f"Run {vendor.install or 'the installation again'}",
            provider=vendor.name,
        ) from error
    return factory


def _call(provider: str, factory: Factory, arguments: dict[str, Any]) -> LLMClient:
    """Call a factory, naming an option that it does not take."""
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise RouterError(f"provider {provider!r}, options: {error}") from None
    except ValueError:  # a factory without a signature judges for itself
        pass
    try:
        client = factory(**arguments)
    except ExecutionPlatformError:
        raise
    except ValueError as error:  # an address that is no URL, for example
        raise RouterError(f"provider {provider!r}: {error}") from None
    if not isinstance(client, LLMClient):
        raise ProviderError(
            f"provider {provider!r}: its factory returned {type(client).__name__}, no LLMClient",
            provider=provider,
            sent=False,
        )
    return client
