"""Says when the disk of the home folder is full, and when there is room again.

A full disk shows as a server that does not answer and as answers that cannot be stored. Both
are waited for, so somebody has to say what they wait for.
"""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

LEAST_BYTES = 20_000_000
"""Less is told: the server's database grows by pages, answers and logs come on top."""

LOOK_EVERY_S = 3.0


def free_bytes(folder: Path) -> int:
    """Return how much room a folder's disk has. Raises OSError where there is no folder."""
    return shutil.disk_usage(folder).free


def shortage(folder: Path, free: Callable[[Path], int] = free_bytes) -> str:
    """Return what is said of a disk that is about full; "" where there is room, or no folder."""
    try:
        left = free(folder)
    except OSError:
        return ""
    return _said(folder, left) if left < LEAST_BYTES else ""


def _said(folder: Path, left: int) -> str:
    return f"the disk of {folder} has {left / 1e6:.1f} MB left: make room"


class DiskRoom:
    """Watches the disk of a folder. `report` is told once when room runs out, and once after."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        *,
        free: Callable[[Path], int] = free_bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._report = folder, report
        self._free, self._clock = free, clock
        self._looked = float("-inf")
        self._short = False

    def look(self) -> None:
        """Look, where the last time was a while ago. Never raises."""
        now = self._clock()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        try:
            free = self._free(self._folder)
        except OSError:  # the folder was removed: what needs it says so
            return
        if free < LEAST_BYTES and not self._short:
            self._report(f"{_said(self._folder, free)}, and what waits for it goes on")
        elif free >= LEAST_BYTES and self._short:
            self._report(f"there is room in {self._folder} again")
        self._short = free < LEAST_BYTES
