"""The embedded server and its worker: two processes of ours, gone when we are.

The server keeps its SQLite file in the home folder, so runs that were open go on the next time.
The worker is a process of its own, in its own session, so that a terminal's Ctrl-C reaches only
us; one that dies is started again and a line says so. It may be started before the server
(`hatch`), since its imports take longer than all else. Leaving stops the worker first (it finishes
or hands back what is in flight), then the server; both end by themselves if we are killed. Other
commands of the same home find a running pair by a small file, which counts only while the
database's lock is held.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from client.devserver import DevServer, ServerBinary, find_server, free_port
from client.disk_room import DiskRoom
from client.leash import PARENT_VARIABLE
from contracts import search
from stores.locations import DataDir

WORKER = Path(__file__).resolve().parent.parent / "worker.py"
HOST = "127.0.0.1"

MOST_DEATHS = 5
DEATHS_WINDOW_S = 60.0
STOP_MARGIN_S = 5.0
"""Beyond its own grace, before a stopping worker is killed."""

LOOK_S = 0.1
"""How often our processes are looked after."""

MOST_LOG_BYTES = 10_000_000

Report = Callable[[str], None]


class EmbeddedFailed(Exception):
    """The server ended, or the worker died again and again; the text has the end of its log."""


@dataclass(frozen=True)
class Place:
    """Where a server is: `pid` is that of the process that keeps it."""

    address: str
    ui_url: str
    pid: int


def running_place(data: DataDir) -> Place | None:
    """Return the embedded server of this home that another process keeps, if there is one."""
    try:
        place = Place(**json.loads(_place_file(data).read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return place if _locked(data) else None


def _place_file(data: DataDir) -> Path:
    return data.server_db.with_name("running.json")


def _locked(data: DataDir) -> bool:
    """Tell whether a process holds the database: it lives then, whatever its number is."""
    database = data.server_db
    try:
        descriptor = os.open(database.with_name(database.name + ".lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class Embedded:
    """A server and a worker for the time of the context. `report` is told what happens.

    `grace_s` is how long a stopping worker may take to finish. `providers` limits what the worker
    serves. Raises client.devserver's errors on entering. `failed` raises EmbeddedFailed when they
    cannot be kept alive.
    """

    def __init__(
        self,
        data: DataDir,
        report: Report,
        *,
        grace_s: float = 25.0,
        providers: Sequence[str] = (),
        port: int = 0,
        ui_port: int = 0,
    ) -> None:
        self._data = data
        self._report = report
        self._providers = list(providers)
        self._grace_s = grace_s
        self._ports = (port or free_port(HOST), ui_port or free_port(HOST))
        self._binary: ServerBinary | None = None
        self._server: DevServer | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stack = contextlib.AsyncExitStack()
        self.failed: asyncio.Future[None] | None = None
        self.place = Place(f"{HOST}:{self._ports[0]}", f"http://{HOST}:{self._ports[1]}", 0)

    def hatch(self) -> None:
        """Start the worker now: it imports, and waits for the server. `abandon` ends it again."""
        self._start_worker()

    def find(self) -> None:
        """Find the server's binary, or make it, which takes minutes and can be interrupted."""
        self._binary = self._binary or find_server(self._report)

    def abandon(self) -> None:
        """Kill what `hatch` started, where the context is not entered after all."""
        if self._worker is not None:
            _kill(self._worker)

    async def __aenter__(self) -> "Embedded":
        self.find()
        assert self._binary is not None
        self.failed = asyncio.get_running_loop().create_future()
        self._server = DevServer(
            self._binary,
            self._data.server_db,
            port=self._ports[0],
            ui_port=self._ports[1],
            log_file=self._data.logs / "server.log",
            search_attributes=search.TYPES,
        )
        self.place = Place(self._server.address, self._server.ui_url, os.getpid())
        try:
            if self._worker is None:
                self._start_worker()
            await self._stack.enter_async_context(self._server)
            self._stack.push_async_callback(self._stop_worker)
            self._supervisor = asyncio.create_task(self._supervise())
            _place_file(self._data).write_text(json.dumps(asdict(self.place)))
        except BaseException:
            self.abandon()
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _place_file(self._data).unlink(missing_ok=True)
        await self._stack.aclose()
        if self.failed is not None and self.failed.done():
            self.failed.exception()  # told or not, it is over

    @property
    def worker_pid(self) -> int:
        """The worker's process id, or 0 when there is none."""
        return self._worker.pid if self._worker else 0

    @property
    def worker_log(self) -> Path:
        """Where the worker writes."""
        return self._data.logs / "worker.log"

    def _start_worker(self) -> None:
        environment = {
            **os.environ,
            "CALLBOARD_TEMPORAL_ADDRESS": self.place.address,
            "CALLBOARD_HOME": str(self._data.root),
            PARENT_VARIABLE: str(os.getpid()),
        }
        _make_room(self.worker_log)
        with self.worker_log.open("ab") as log:
            self._worker = subprocess.Popen(
                [sys.executable, str(WORKER), *self._providers],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    async def _supervise(self) -> None:
        """Start the worker again when it dies, unless it does nothing else; watch the disk."""
        deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        room = DiskRoom(self._data.root, self._report)
        while self._worker is not None and self._server is not None:
            await asyncio.sleep(LOOK_S)
            room.look()
            if not self._server.running:
                return self._fail(f"the Temporal server has ended:\n{self._server.log_tail()}")
            code = self._worker.poll()
            if code is None:
                continue
            deaths.append(time.monotonic())
            if len(deaths) == MOST_DEATHS and deaths[-1] - deaths[0] < DEATHS_WINDOW_S:
                tail = _tail(self.worker_log)
                return self._fail(f"the worker died {MOST_DEATHS} times in a minute:\n{tail}")
            self._report(f"the worker has died ({_why(code)}); another takes over")
            self._start_worker()
        return None

    def _fail(self, why: str) -> None:
        if self.failed is not None and not self.failed.done():
            self.failed.set_exception(EmbeddedFailed(why))

    async def _stop_worker(self) -> None:
        """Let the worker finish or hand back, then make sure that it is gone."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
        worker = self._worker
        if worker is None or worker.poll() is not None:
            return
        try:
            worker.send_signal(signal.SIGTERM)
            deadline = time.monotonic() + self._grace_s + STOP_MARGIN_S
            while time.monotonic() < deadline:
                if worker.poll() is not None:
                    break
                await asyncio.sleep(0.02)
        finally:
            _kill(worker)


def _kill(worker: "subprocess.Popen[bytes]") -> None:
    """Kill a worker with all that it started. Nothing is left, whether it lived or not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _make_room(log: Path) -> None:
    """Put a large log aside: there is one older one at most."""
    with contextlib.suppress(OSError):
        if log.stat().st_size > MOST_LOG_BYTES:
            log.replace(log.with_suffix(".old.log"))


def _why(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _tail(log: Path, lines: int = 15) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
