"""Where Callboard keeps its data on this machine.

Below one folder, for its owner only: `store/`, `spools/`, `server/` (the embedded Temporal
server's database) and `logs/`. The folder is the argument, else $CALLBOARD_HOME, else the
platform's place for a user's data.
"""

import os
from pathlib import Path

HOME_VARIABLE = "CALLBOARD_HOME"


class DataDir:
    """The folders below one root. They are made when they are first asked for, with mode 0700;
    those that exist keep the mode that they have. Asking raises OSError where one cannot be made.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root or _default_root()).expanduser().absolute()

    @property
    def artifacts_url(self) -> str:
        """Address of the local artifact store: artifacts and the names of runs."""
        return self._folder("store").as_uri()

    @property
    def spools(self) -> Path:
        """Folder of the runs' spools."""
        return self._folder("spools")

    @property
    def server_db(self) -> Path:
        """The embedded server's SQLite file; its folder is made, the file is the server's."""
        return self._folder("server") / "temporal.db"

    @property
    def logs(self) -> Path:
        """Folder of log files."""
        return self._folder("logs")

    def _folder(self, name: str) -> Path:
        # Parents get the process's default mode, as of any program; ours is the root.
        self.root.parent.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        folder = self.root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _default_root() -> Path:
    configured = os.environ.get(HOME_VARIABLE)
    if configured:
        return Path(configured)
    # Imported late: its lookups are only for those who leave the place to us.
    import platformdirs

    return platformdirs.user_data_path("callboard")
