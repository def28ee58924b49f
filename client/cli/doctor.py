"""`doctor`: what is here, what is missing, what to do about it.

A finding is fine, a note (something is absent that a run may do without) or a fault, which makes
the exit code 2. Nothing is downloaded, built or started.
"""

import asyncio
import os
import platform
import secrets
import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from client.cli.console import DONE, USAGE, clean, run_async, stdout
from client.cli.doctor_redis import SPOOL_CURE, redis_findings
from client.cli.findings import Finding
from client.cli.session import Session, open_session
from config.problems import ConfigError
from stores.exceptions import StoreError
from stores.redis_server import SETTING as SPOOLS
from stores.sealing import AesGcm

if TYPE_CHECKING:
    from providers.router import PersonaRouter

OLDEST, NEWEST = (3, 11), (3, 13)
LEAST_FREE_BYTES = 1_000_000_000
STORE_S = 20
STORE_CURE = "see CALLBOARD_ARTIFACTS_URL in .env.example, and docs/storage.md"


MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "fault": ("✗", "red")}


def examine() -> int:
    """Print the report; return the exit code."""
    findings = [_python()]
    try:
        session = open_session()
    except ConfigError as error:
        findings.append(Finding("fault", "settings", str(error), "see .env.example"))
    except StoreError as error:
        of_spools = SPOOLS in str(error)
        subject, cure = ("spools", SPOOL_CURE) if of_spools else ("artifacts", STORE_CURE)
        findings.append(Finding("fault", subject, str(error), cure))
    else:
        findings += [*_binary(), *_providers(), *_policy(session), *_storage(session)]
        run_async(lambda: _ask(session, findings))
    _print(findings)
    return USAGE if any(finding.state == "fault" for finding in findings) else DONE


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    console = stdout()
    for finding in findings:
        mark, style = MARKS[finding.state]
        line = Text(f"{mark} ", style=style)
        line.append(f"{finding.subject:<12}", style="default")
        line.append(clean(finding.text), style="default")
        console.print(line, soft_wrap=True)
        if finding.cure:
            console.print(Text(f"{'':14}→ {clean(finding.cure)}"), soft_wrap=True)


def _python() -> Finding:
    text = f"{platform.python_version()} ({sys.executable})"
    fits = OLDEST <= sys.version_info[:2] <= NEWEST
    return Finding("ok" if fits else "fault", "Python", text, "" if fits else "use 3.11 to 3.13")


def _binary() -> Iterator[Finding]:
    """Look where find_server would, without making anything."""
    from platformdirs import user_cache_path

    from client.devserver.binary import BIN_VARIABLE, SOURCES, built_path, downloaded_path

    named = os.environ.get(BIN_VARIABLE)
    if named:
        runs = os.access(Path(named).expanduser(), os.X_OK)
        cure = "" if runs else f"{BIN_VARIABLE} names no program: correct or unset it"
        yield Finding("ok" if runs else "fault", "server", f"{named} ({BIN_VARIABLE})", cure)
        return
    folder = user_cache_path("callboard")
    places = [shutil.which("temporal"), built_path(folder, SOURCES), downloaded_path(folder)]
    found = next((str(path) for path in places if path and os.access(path, os.X_OK)), None)
    if found:
        yield Finding("ok", "server", f"embedded: {found}")
    else:
        yield Finding(
            "note",
            "server",
            "no embedded server yet",
            "the first run downloads or builds one (minutes), or name one in " + BIN_VARIABLE,
        )


def _providers() -> Iterator[Finding]:
    from providers import registry

    usable = 0
    for name in registry.names():
        found = registry.availability(name)
        if isinstance(found, registry.Missing):
            yield Finding("note", "provider", f"{name}: {found.reason}", found.cure)
        else:
            usable += name != "simulated"
            yield _login(name) or Finding("ok", "provider", f"{name}: ready")
    if not usable:
        yield Finding(
            "note", "provider", "no real one can be used", "--provider simulated needs no key"
        )


def _login(name: str) -> Finding | None:
    """Say how sure a login is that only the vendor's program can check; None: it needs none."""
    if name != "claude_agent":
        return None
    from providers.claude_agent_environment import seems_signed_in

    if seems_signed_in(os.environ):
        return Finding("ok", "provider", f"{name}: ready, if its login is good")
    cure = "Sign in with `claude` (/login), or set ANTHROPIC_API_KEY"
    return Finding("note", "provider", f"{name}: installed, but nobody seems to be signed in", cure)


def _policy(session: Session) -> Iterator[Finding]:
    from providers.exceptions import RouterError
    from providers.pricing import SOURCE
    from providers.router import PersonaRouter

    settings = session.settings
    yield Finding("ok", "prices", f"{SOURCE} {version(SOURCE)}, offline")
    try:
        overrides = settings.price_overrides()
        router = PersonaRouter(settings.persona_policy, settings.capabilities, prices=overrides)
        nobody = [name for name in router.policy.personas if not _anybody(router, name)]
    except (RouterError, ConfigError) as error:
        yield Finding("fault", "policy", str(error))
        return
    count = len(router.policy.personas)
    yield Finding("ok", "policy", f"{router.policy_path}: {count} personas")
    if nobody:
        cure = "set a key, or see `starter.py personas NAME --explain`"
        yield Finding("note", "policy", f"nobody here can answer for {', '.join(nobody)}", cure)


def _anybody(router: "PersonaRouter", persona: str) -> bool:
    return any(verdict.rank for verdict in router.explain(persona).verdicts)


def _storage(session: Session) -> Iterator[Finding]:
    root = session.storage.data.root
    try:
        probe = session.storage.data.logs / f"doctor-{secrets.token_hex(4)}"
        probe.write_text("x")
        probe.unlink()
        free = shutil.disk_usage(root).free
    except OSError as error:
        yield Finding("fault", "storage", f"{root}: {error.strerror}", "set CALLBOARD_HOME")
        return
    text = f"{root}: writable, {free / 1e9:,.0f} GB free"
    short = free < LEAST_FREE_BYTES
    yield Finding("note" if short else "ok", "storage", text, "make room" if short else "")


async def _ask(session: Session, findings: list[Finding]) -> int:
    """Ask the artifact store, Redis and the server."""
    findings.append(await _artifacts(session))
    findings += [finding async for finding in redis_findings(session)]
    findings.append(await _server(session))
    return DONE


async def _artifacts(session: Session) -> Finding:
    """Write to the store and read it back from there, not from memory; list what is there."""
    storage = session.storage
    store = storage.store
    stamp = datetime.now(UTC).isoformat(timespec="hours")
    try:
        async with asyncio.timeout(STORE_S):
            ref = await store.put_text(f"callboard doctor {stamp}")
            async for _ in store.stream(ref):
                pass
            await store.names("runs/")
    except TimeoutError:
        return Finding("fault", "artifacts", f"{store.name}: no answer in {STORE_S} s", STORE_CURE)
    except StoreError as error:
        return Finding("fault", "artifacts", str(error), STORE_CURE)
    sealed = storage.sealer.ids if isinstance(storage.sealer, AesGcm) else ()
    how = f"sealed with {sealed[0]}" if sealed else "not encrypted"
    older = f" (older: {', '.join(sealed[1:])})" if sealed[1:] else ""
    return Finding("ok", "artifacts", f"{store.name}: written and read back, {how}{older}")


async def _server(session: Session) -> Finding:
    from client.cli.console import Refusal
    from client.cli.polling import served_providers
    from client.connection import ServerUnreachable

    if session.address is None:
        return Finding("ok", "Temporal", "none is configured: `run` brings the embedded server")
    try:
        client = (await session.runs()).client
        served = await served_providers(client)
    except ServerUnreachable as error:
        return Finding("fault", "Temporal", str(error))
    except Refusal as error:
        return Finding("note", "Temporal", f"{session.address} answers; {error}")
    return Finding(
        "ok", "Temporal", f"{session.address}; workers serve {', '.join(sorted(served))}"
    )
