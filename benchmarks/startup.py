"""How long a command takes to start, beside the bare interpreter and a bare `import temporalio`.

Runs are interleaved, so that a machine that is busy for a while is busy for all of them.
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 7
COMMANDS = {
    "python, nothing imported": ["-c", "pass"],
    "import temporalio.client": ["-c", "import temporalio.client"],
    "starter.py --help": ["starter.py", "--help"],
    "import worker": ["-c", "import worker"],
}


def seconds(arguments: list[str]) -> float:
    """Run Python once and return how long it took."""
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def main() -> None:
    """Print the median and the best of each."""
    for arguments in COMMANDS.values():
        seconds(arguments)
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, arguments in COMMANDS.items():
            taken[name].append(seconds(arguments))
    for name, found in taken.items():
        print(f"  {name:<26} median {statistics.median(found):.2f} s, best {min(found):.2f} s")


if __name__ == "__main__":
    main()
