"""What a worker at rest takes: memory, and processor time while it only polls."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

POLLING_S = 10


def resident_mb(pid: int) -> float:
    """Return the resident set of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start a server and a worker, let it poll, print what it takes."""
    from client.devserver.binary import find_server
    from tests.support.server import local_server

    if not Path("/proc/self/status").exists():
        print("  needs /proc: not measured here")
        return
    binary = find_server(lambda line: print(f"  {line}", file=sys.stderr)).path
    with tempfile.TemporaryDirectory() as folder, local_server(binary, Path(folder)) as server:
        environment = {
            **os.environ,
            "CALLBOARD_HOME": f"{folder}/home",
            "CALLBOARD_TEMPORAL_ADDRESS": server.address,
        }
        worker = subprocess.Popen(
            [sys.executable, "worker.py", "simulated"], env=environment, stdout=subprocess.PIPE
        )
        try:
            assert worker.stdout is not None
            print(f"  {worker.stdout.readline().decode().strip()}")
            before = cpu_s(worker.pid)
            time.sleep(POLLING_S)
            spent = (cpu_s(worker.pid) - before) / POLLING_S
            print(f"  {resident_mb(worker.pid):.0f} MB resident, {100 * spent:.1f} % of a core")
        finally:
            worker.terminate()
            worker.wait(30)


if __name__ == "__main__":
    main()
