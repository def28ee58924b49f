"""The environment that the other libraries run in: made once, kept in the user's cache.

They are no dependencies of Callboard. `peers.txt` names them by their exact versions; another
list makes another environment.
"""

import hashlib
import platform
import subprocess
import sys
from pathlib import Path

import platformdirs

ROOT = Path(__file__).parents[3]
LIST = Path(__file__).with_name("peers.txt")


def python() -> Path:
    """Return the environment's interpreter; make it where there is none."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LIST.read_bytes()).hexdigest()[:16]
    place = platformdirs.user_cache_path("callboard") / f"peers-{digest}-{version}"
    made = place / "bin" / "python"
    done = place / "complete"
    if done.exists():
        return made
    print(f"  installing the other libraries into {place}", file=sys.stderr)
    _uv("venv", "--clear", "--python", sys.executable, place)
    _uv("pip", "install", "--python", made, "--requirement", LIST)
    done.write_text(f"{platform.python_version()}\n")
    return made


def _uv(*arguments: str | Path) -> None:
    subprocess.run(["sh", ROOT / "scripts" / "uv.sh", *arguments, "--quiet"], check=True)
