"""How this command line was started, so that the commands that it shows can be pasted.

Messages name commands as `python starter.py …`. Where the Python on PATH is another one (a fresh
clone whose virtual environment is not activated), or the working folder is another one, that
would not work; `pasteable` puts in what does.
"""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"(?<![\w/.-])python (starter|worker)\.py\b")
"""As messages name them: what was put in already is left as it is."""


def pasteable(
    text: str, *, executable: str = sys.executable, root: Path = ROOT, folder: Path | None = None
) -> str:
    """Return a message with its commands as they can be pasted into this terminal.

    `executable` is the Python that runs, `root` the folder of starter.py, `folder` the working one.
    """
    if "python " not in text:
        return text
    try:
        here = folder or Path.cwd()
    except OSError:  # the working folder was deleted
        return text
    on_path = shutil.which("python")
    python = "python" if on_path == executable else _nearest(executable, here)

    def command(found: re.Match[str]) -> str:
        return f"{python} {_nearest(str(root / f'{found[1]}.py'), here)}"

    return _NAMED.sub(command, text)


def _nearest(path: str, here: Path) -> str:
    """Return a path relative to the working folder where it lies below, fit for a shell."""
    below = os.path.relpath(path, here)
    return shlex.quote(path if below.startswith("..") else below)
