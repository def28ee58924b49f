"""Keeps two servers away from one database file."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import time
from pathlib import Path

from client.devserver.errors import DatabaseInUseError

ORPHAN_LIMIT_S = 10.0


class DatabaseLock:
    """A lock beside a database file, held by us and by the server that inherits it.

    It is free again when both have ended, however they ended.
    """

    def __init__(self, db_file: Path) -> None:
        self._db_file = db_file
        self._path = db_file.with_name(db_file.name + ".lock")
        self._descriptor = -1

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a server has to inherit."""
        return (self._descriptor,) if self._descriptor >= 0 else ()

    async def acquire(self) -> None:
        """Take the lock, or raise DatabaseInUseError.

        A server whose owner has died is on its way out: it is waited for, and
        told to stop if it does not know (one by another maker).
        """
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        started, told = time.monotonic(), False
        while not self._try():
            server, owner = self._holders()
            waited = time.monotonic() - started
            if waited > ORPHAN_LIMIT_S or (owner and _alive(owner)):
                self.release()
                raise DatabaseInUseError(
                    f"{self._db_file} is in use by the Temporal server with process id "
                    f"{server or 'unknown'}, started by process {owner or 'unknown'}. Use that "
                    "server, stop it, or give another database file."
                )
            if waited > 1 and not told and server and self._serves_this_file(server):
                told = True
                os.kill(server, signal.SIGTERM)
            await asyncio.sleep(0.05)
        self.name_holder(0)

    def name_holder(self, server: int) -> None:
        """Write who has the file, for the message that another process shows."""
        text = json.dumps({"server": server, "owner": os.getpid()}).encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text, 0)

    def release(self) -> None:
        """Give the lock up; it stays taken while a server that inherited it lives."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _holders(self) -> tuple[int, int]:
        try:
            names = json.loads(os.pread(self._descriptor, 200, 0) or b"{}")
        except ValueError:
            return 0, 0
        return int(names.get("server", 0)), int(names.get("owner", 0))

    def _serves_this_file(self, pid: int) -> bool:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(self._db_file) in command.split(b"\0")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
