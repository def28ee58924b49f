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


class DiskRoom:
    """Watches the disk of a folder. `report` is told once when room runs out, and once after."""

    def __init__(
        self,
        folder: Path,
        report: Callable[[str], None],
        *,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
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
            self._report(
                f"the disk of {self._folder} has {free / 1e6:.1f} MB left: make room, and what "
                "waits for it goes on"
            )
        elif free >= LEAST_BYTES and self._short:
            self._report(f"there is room in {self._folder} again")
        self._short = free < LEAST_BYTES
