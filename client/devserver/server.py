"""Runs the embedded Temporal server: started, watched, and stopped with nothing left.

    binary = find_server(print)
    async with DevServer(binary, Path("callboard.db"), log_file=Path("server.log")) as server:
        client = await Client.connect(server.address)

Strategy: the server is a child process in a session of its own, so that a
Ctrl-C in the terminal reaches us first. It is ready when it answers a question
that takes the frontend, the history service and the database to answer. A lock
on `<database>.lock`, inherited by the server, keeps a second one away from the
file for as long as either process lives; the lock file names both. Whatever
ends this process, kill -9 included, ends the server.

POSIX only (Linux, macOS, WSL).
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from client.devserver.binary import ServerBinary
from client.devserver.child import kill_session
from client.devserver.errors import ServerStartError
from client.devserver.lock import DatabaseLock
from client.devserver.ports import free_port, is_free, join, reachable
from client.disk_room import shortage
from client.leash import PARENT_VARIABLE

START_LIMIT_S = 30.0
STOP_LIMIT_S = 8.0
POLL_S = 0.01
LOG_LINES = 15
RETENTION_DAYS = 30
PROBE = "/api/v1/namespaces/default/workflows/callboard-is-it-up"
"""Answered with 404 once the frontend, the history service and the database serve."""

DYNAMIC_CONFIG: Mapping[str, object] = {
    # 20 polls a second is the default per shard, and there is one shard: every
    # hop of a busy workflow would wait 40 ms.
    "history.transferProcessorMaxPollRPS": 5000,
    "history.timerProcessorMaxPollRPS": 5000,
    "history.visibilityProcessorMaxPollRPS": 5000,
    "history.outboundProcessorMaxPollRPS": 5000,
    # The default of 1 s is a floor under every timer and retry.
    "history.timerProcessorMaxTimeShift": "10ms",
    # Cancellation reaches an activity at once instead of at its next heartbeat.
    "frontend.workerCommandsEnabled": True,
    "system.enableCancelActivityWorkerCommand": True,
    # One partition keeps priorities exact and rates even.
    "matching.numTaskqueueReadPartitions": 1,
    "matching.numTaskqueueWritePartitions": 1,
    "matching.enableFairness": True,
}
"""What every server is started with, whoever made it; devserver/ has the same defaults."""

SQLITE_PRAGMAS: Mapping[str, str] = {"journal_mode": "wal", "synchronous": "normal"}


def server_environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a server: without what is meant for us.

    It reads OpenTelemetry's variables too: it would send spans of its own inner work, and not
    start at all with an exporter that it does not know.
    """
    return {name: value for name, value in env.items() if not name.startswith("OTEL_")}


class DevServer:
    """A Temporal server of this process's own, as an asynchronous context manager.

    `db_file` None keeps everything in memory. A port of 0 takes a free one.
    `search_attributes` maps names to types (Keyword, Int, …); a file made before
    gets what it lacks, though not from the official CLI. Closed workflows stay for
    RETENTION_DAYS.
    `dynamic_config` adds to DYNAMIC_CONFIG, or replaces parts of it.

    Entering raises DatabaseInUseError or ServerStartError, and leaves nothing
    running when it does. Leaving never raises. A server cannot be entered twice.
    """

    def __init__(
        self,
        binary: ServerBinary,
        db_file: Path | None,
        ip: str = "127.0.0.1",
        port: int = 0,
        ui_port: int = 0,
        *,
        log_file: Path,
        namespaces: Sequence[str] = (),
        search_attributes: Mapping[str, str] | None = None,
        dynamic_config: Mapping[str, object] | None = None,
        time_skipping: bool = False,
    ) -> None:
        self._binary = binary
        self._db_file = db_file.absolute() if db_file else None
        self._ip = ip
        self._port = port or free_port(ip)
        self._ui_port = ui_port or free_port(ip)
        self._http_port = free_port(ip)
        self._log_file = log_file
        self._namespaces = namespaces
        self._search_attributes = search_attributes or {}
        skipping = {"frontend.WorkflowTimeSkippingEnabled": True} if time_skipping else {}
        self._dynamic_config = {**DYNAMIC_CONFIG, **skipping, **(dynamic_config or {})}
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: DatabaseLock | None = None
        self._log_start = 0

    @property
    def address(self) -> str:
        """Where clients and workers connect: host:port."""
        return join(reachable(self._ip), self._port)

    @property
    def ui_url(self) -> str:
        """The web UI."""
        return f"http://{join(reachable(self._ip), self._ui_port)}"

    @property
    def pid(self) -> int:
        """The server's process id, or 0 when there is none."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """What the server's process ended with: negative for a signal, None before its end."""
        return self._process.poll() if self._process else None

    def log_tail(self) -> str:
        """The last lines that the server logged since this start."""
        with self._log_file.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES:])

    def _why(self) -> str:
        """What may have kept it from serving: what it logged last, and a disk without room."""
        return "\n".join(filter(None, (self.log_tail(), shortage(self._log_file.parent))))

    async def __aenter__(self) -> DevServer:
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._check_ports()
        try:
            if self._db_file:
                self._db_file.parent.mkdir(parents=True, exist_ok=True)
                self._lock = DatabaseLock(self._db_file)
                await self._lock.acquire()
            self._start()
            await self._serving()
            if self._binary.origin not in ("cache", "build"):
                await self._keep_closed_workflows()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    def _check_ports(self) -> None:
        for name, port in (("--port", self._port), ("--ui-port", self._ui_port)):
            if not is_free(self._ip, port):
                raise ServerStartError(
                    f"Port {port} on {self._ip} is taken: stop who listens there, "
                    f"or choose another with {name}."
                )

    def _start(self) -> None:
        with self._log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = self._spawn(log)
        if self._lock:
            self._lock.name_holder(self._process.pid)

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        environment = {**server_environment(os.environ), PARENT_VARIABLE: str(os.getpid())}
        try:
            return subprocess.Popen(
                [*self._leash(), str(self._binary.path), *self.arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                pass_fds=self._lock.descriptors if self._lock else (),
                start_new_session=True,
            )
        except OSError as error:
            raise ServerStartError(f"{self._binary.path} cannot be run: {error}") from error

    def _leash(self) -> list[str]:
        """A prefix that ties another maker's server to us; ours reads PARENT_VARIABLE."""
        setpriv = shutil.which("setpriv")
        if self._binary.origin in ("env", "path", "download") and setpriv:
            return [setpriv, "--pdeathsig", "TERM", "--"]
        return []

    def arguments(self) -> list[str]:
        """What the server is started with, after its path."""
        flags: list[tuple[str, object]] = [
            ("ip", self._ip),
            ("port", self._port),
            ("http-port", self._http_port),
            ("ui-port", self._ui_port),
            ("log-level", "warn"),
        ]
        if self._db_file:
            flags.append(("db-filename", self._db_file))
            flags += [("sqlite-pragma", f"{k}={v}") for k, v in SQLITE_PRAGMAS.items()]
        flags += [("namespace", name) for name in self._namespaces]
        flags += [("search-attribute", f"{k}={v}") for k, v in self._search_attributes.items()]
        flags += [
            ("dynamic-config-value", f"{k}={json.dumps(v)}")
            for k, v in self._dynamic_config.items()
        ]
        return ["server", "start-dev", *(part for k, v in flags for part in (f"--{k}", str(v)))]

    async def _serving(self) -> None:
        """Wait until a question to the history service is answered."""
        assert self._process
        deadline = time.monotonic() + START_LIMIT_S
        while await asyncio.to_thread(self._ask, "GET", PROBE) not in (200, 404):
            if self._process.poll() is not None:
                raise ServerStartError(
                    f"The Temporal server ended with code {self._process.returncode} "
                    f"before it served.\n{self._why()}"
                )
            if time.monotonic() > deadline:
                raise ServerStartError(
                    f"The Temporal server did not serve on {self.address} within "
                    f"{START_LIMIT_S:.0f} s (its log: {self._log_file}).\n{self._why()}"
                )
            await asyncio.sleep(POLL_S)

    async def _keep_closed_workflows(self) -> None:
        """Set the retention, for which other makers' servers have no flag; best effort."""
        seconds = f"{RETENTION_DAYS * 86_400}s"
        body = json.dumps({"config": {"workflowExecutionRetentionTtl": seconds}})
        for name in {"default", *self._namespaces}:
            path = f"/api/v1/namespaces/{name}/update"
            await asyncio.to_thread(self._ask, "POST", path, body)

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        """Ask the server's HTTP API; return the status, 0 for no answer."""
        host = reachable(self._ip)
        connection = http.client.HTTPConnection(host, self._http_port, timeout=2)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()

    async def _stop(self) -> None:
        """Stop the server, by force after STOP_LIMIT_S or when cancelled meanwhile."""
        try:
            if self._process and self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    await asyncio.to_thread(self._process.wait, STOP_LIMIT_S)
        finally:
            if self._process:
                kill_session(self._process)
            if self._lock:
                self._lock.release()
                self._lock = None
