"""What can go wrong with the embedded server. Every message says what to do.

DevServerError
├─ BinaryNotFoundError   no server where one was named
├─ BuildError            devserver/ could not be built
├─ ServerStartError      the server ended or did not answer; carries its last log lines
└─ DatabaseInUseError    another server has the file; names its process
"""


class DevServerError(Exception):
    """The embedded Temporal server cannot be found, built, started or used."""


class BinaryNotFoundError(DevServerError):
    """There is no server that could be run where one was named."""


class BuildError(DevServerError):
    """The server could not be built from devserver/."""


class ServerStartError(DevServerError):
    """The server ended before it served, or did not serve in time."""


class DatabaseInUseError(DevServerError):
    """Another server has the database file open."""
