"""The embedded server and its worker: two processes of ours, gone when we are.

The server keeps its SQLite file in the home folder, so runs that were open go on the next time.
The worker is a process of its own, in its own session, so that a terminal's Ctrl-C reaches only
us; one that dies is started again and a line says so. Leaving stops the worker first (it finishes
or hands back what is in flight), then the server. Other commands of the same home find a running
pair by a small file.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from client.devserver import DevServer, find_server
from config.settings import Settings
from contracts import search
from stores.locations import DataDir

WORKER = Path(__file__).resolve().parent.parent / "worker.py"
PARENT_VARIABLE = "CALLBOARD_EXIT_WITH_PARENT"

MOST_DEATHS = 5
DEATHS_WINDOW_S = 60.0
STOP_MARGIN_S = 5.0
"""Beyond its own grace, before a stopping worker is killed."""

Report = Callable[[str], None]


class WorkerKeepsDying(Exception):
    """The worker died again and again; the text has the end of its log."""


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
        os.kill(place.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return place


def _place_file(data: DataDir) -> Path:
    return data.server_db.with_name("running.json")


class Embedded:
    """A server and a worker for the time of the context. `report` is told what happens.

    `providers` limits what the worker serves. Raises client.devserver's errors on entering.
    """

    def __init__(
        self,
        settings: Settings,
        report: Report,
        providers: Sequence[str] = (),
        *,
        port: int = 0,
        ui_port: int = 0,
    ) -> None:
        self._settings = settings
        self._data = DataDir(settings.home)
        self._report = report
        self._providers = list(providers)
        self._ports = (port, ui_port)
        self._stack = contextlib.AsyncExitStack()
        self._worker: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._stopping = False
        self.failed: asyncio.Future[None] | None = None

    async def __aenter__(self) -> "Embedded":
        binary = await asyncio.to_thread(find_server, self._report)
        port, ui_port = self._ports
        server = DevServer(
            binary,
            self._data.server_db,
            port=port,
            ui_port=ui_port,
            log_file=self._data.logs / "server.log",
            search_attributes=search.TYPES,
        )
        self.place = Place(server.address, server.ui_url, os.getpid())
        self.failed = asyncio.get_running_loop().create_future()
        try:
            self._stack.push_async_callback(self._stop_worker)
            starting = asyncio.create_task(self._start_worker())
            await self._stack.enter_async_context(server)
            self._stack.push_async_callback(self._stop_worker)
            await starting
            self._supervisor = asyncio.create_task(self._supervise())
            _place_file(self._data).write_text(json.dumps(asdict(self.place)))
        except BaseException:
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

    @property
    def worker_pid(self) -> int:
        """The worker's process id, or 0 between two."""
        return self._worker.pid if self._worker else 0

    @property
    def worker_log(self) -> Path:
        """Where the worker writes."""
        return self._data.logs / "worker.log"

    async def _start_worker(self) -> None:
        environment = {
            **os.environ,
            "CALLBOARD_TEMPORAL_ADDRESS": self.place.address,
            "CALLBOARD_HOME": str(self._data.root),
            PARENT_VARIABLE: str(os.getpid()),
        }
        with self.worker_log.open("ab") as log:
            self._worker = await asyncio.create_subprocess_exec(
                sys.executable,
                str(WORKER),
                *self._providers,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,
            )

    async def _supervise(self) -> None:
        """Start the worker again when it dies, unless it does nothing else."""
        deaths: deque[float] = deque(maxlen=MOST_DEATHS)
        while self._worker is not None:
            code = await self._worker.wait()
            if self._stopping:
                return
            deaths.append(time.monotonic())
            if len(deaths) == MOST_DEATHS and deaths[-1] - deaths[0] < DEATHS_WINDOW_S:
                tail = _tail(self.worker_log)
                if self.failed is not None and not self.failed.done():
                    self.failed.set_exception(
                        WorkerKeepsDying(f"the worker died {MOST_DEATHS} times:\n{tail}")
                    )
                return
            self._report(f"the worker has died ({_why(code)}); starting another")
            await self._start_worker()

    async def _stop_worker(self) -> None:
        """Let the worker finish or hand back, then make sure that it is gone."""
        self._stopping = True
        worker = self._worker
        if worker is not None and worker.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGTERM)
            try:
                limit = self._settings.graceful_shutdown + STOP_MARGIN_S
                await asyncio.wait_for(worker.wait(), limit)
            finally:
                if worker.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(worker.pid, signal.SIGKILL)
                    await worker.wait()
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._supervisor
            self._supervisor = None


def _why(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    return signal.Signals(-code).name


def _tail(log: Path, lines: int = 15) -> str:
    with contextlib.suppress(OSError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""
