"""Keys that are typed while the terminal is drawn on leave no mark there.

A drawn line may end at the window's edge: the `^C` that the terminal would show for Ctrl-C, or any
key typed ahead, then moves the cursor where the drawing does not look for it. What was typed is
not lost: it is there for whoever reads next.
"""

import contextlib
import os
import sys
import termios
from typing import Any

_kept: list[Any] | None = None
"""The terminal's settings before echo was held; there is one terminal."""


def hold_echo() -> None:
    """Let the terminal show no keys until `restore_echo`. Elsewhere, and twice, it does nothing."""
    global _kept
    if _kept is not None:
        return
    with contextlib.suppress(termios.error, OSError, ValueError):
        terminal = sys.stdin.fileno()
        # A program in the background would be stopped for asking.
        if not os.isatty(terminal) or os.tcgetpgrp(terminal) != os.getpgrp():
            return
        before = termios.tcgetattr(terminal)
        quiet = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
        termios.tcsetattr(terminal, termios.TCSADRAIN, quiet)
        _kept = before


def restore_echo() -> None:
    """Give the terminal back as it was. Safe to repeat."""
    global _kept
    before, _kept = _kept, None
    if before is not None:
        with contextlib.suppress(termios.error, OSError, ValueError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
