"""Stands between a worker and an MCP server on stdio: `python guard.py COMMAND …`.

A message is a line, and the SDK collects a line however long it becomes. Here lines are counted
while they pass; one of more than LINE_BYTES ends the server. Standard input and error are the
server's own. Imports nothing that is not needed: it is started with each server.
"""

import os
import signal
import subprocess
import sys

LINE_BYTES = 8 * 1024 * 1024
PIECE_BYTES = 64 * 1024
NOT_FOUND, TOO_LONG = 127, 120


def relay(source: int, target: int) -> bool:
    """Pass everything on until the end. Return False at a line that is too long."""
    length = 0
    while piece := os.read(source, PIECE_BYTES):
        last = piece.rfind(b"\n")
        length = length + len(piece) if last < 0 else len(piece) - last - 1
        if length > LINE_BYTES:
            return False
        view = memoryview(piece)
        while view:
            view = view[os.write(target, view) :]
    return True


def main(command: list[str]) -> int:
    """Run the server to its end. Returns the exit code."""
    try:
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND
    os.close(0)
    assert server.stdout is not None
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    try:
        sound = relay(server.stdout.fileno(), 1)
    except BrokenPipeError:
        sound = True
    if not sound:
        print(f"the server sent a line of more than {LINE_BYTES:,} bytes", file=sys.stderr)
        server.kill()
        return TOO_LONG
    return server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
