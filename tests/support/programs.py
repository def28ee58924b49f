"""Python programs in processes of their own, for tests that kill them or set them to race."""

import subprocess
import sys

from tests.support.fixtures import ROOT

Program = subprocess.Popen[str]


def program(code: str, *arguments: object) -> Program:
    """Start a program in the repository's folder; its stdin and stdout are pipes of text."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def line_of(process: Program) -> str:
    """Wait for the next line that a program prints, and return it without its end."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def tell(process: Program, line: str) -> None:
    """Hand a program a line."""
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def kill(process: Program) -> None:
    """End a program as a power cut would."""
    process.kill()
    process.communicate(timeout=60)
