"""While the terminal is drawn on it shows no keys; later it is as it was, with what was typed."""

import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from client.cli.echo import hold_echo, restore_echo

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from client.cli.echo import hold_echo, restore_echo
for step in (hold_echo, hold_echo, restore_echo, restore_echo):
    step()
    print(bool(termios.tcgetattr(0)[3] & termios.ECHO), file=sys.stderr)
print(sys.stdin.readline(), file=sys.stderr)
"""


def test_keys_are_not_shown_and_not_lost() -> None:
    master, slave = pty.openpty()
    try:
        os.write(master, b"typed ahead\n")
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            stdin=slave,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            timeout=60,
        )
        after = termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)
    assert done.stderr.split("\n")[:5] == ["False", "False", "True", "True", "typed ahead"]
    assert after[3] & termios.ECHO


def test_where_there_is_no_terminal_nothing_happens() -> None:
    hold_echo()
    restore_echo()
    done = subprocess.run(
        [sys.executable, "-c", "from client.cli.echo import *; hold_echo(); restore_echo()"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
