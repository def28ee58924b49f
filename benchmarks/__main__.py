"""Runs the benchmarks, each in a process of its own: `python -m benchmarks [name …]`.

A benchmark is a module of this package whose `main` prints what it measured, beside the bare tool
measured in the same run: the ratio travels from machine to machine, the seconds do not.
"""

import pkgutil
import subprocess
import sys

import benchmarks


def names() -> list[str]:
    """Return the names of all benchmarks."""
    found = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name for name in found if not name.startswith("_"))


def main(wanted: list[str]) -> int:
    """Run those wanted, or all. Returns the exit code."""
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        print(
            f"no benchmark named {', '.join(unknown)}: have {', '.join(names())}", file=sys.stderr
        )
        return 2
    failed = []
    for name in wanted or names():
        print(f"\n{name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
