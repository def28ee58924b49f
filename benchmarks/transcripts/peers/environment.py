"""The environment that the other libraries run in: made once, kept in the user's cache.

They are no dependencies of Callboard. `peers.txt` names them by their exact versions; another
list makes another environment.
"""

import hashlib
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import platformdirs

LIST = Path(__file__).with_name("peers.txt")


def python() -> Path:
    """Return the environment's interpreter; make it where there is none. Needs `uv`."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(LIST.read_bytes()).hexdigest()[:16]
    place = platformdirs.user_cache_path("callboard") / f"peers-{digest}-{version}"
    made = place / "bin" / "python"
    done = place / "complete"
    if done.exists():
        return made
    uv = shutil.which("uv")
    if uv is None:
        raise RuntimeError("the other libraries are installed by uv, which is not on PATH")
    print(f"  installing the other libraries into {place}", file=sys.stderr)
    subprocess.run(
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True
    )
    install = [uv, "pip", "install", "--quiet", "--python", made, "--requirement", LIST]
    subprocess.run(install, check=True)
    done.write_text(f"{platform.python_version()}\n")
    return made
