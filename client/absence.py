"""What may not be there when it is asked for: the server, a worker, the run. Each says the cure."""


class ServerUnreachable(Exception):
    """No Temporal server answers at the address; the text says how to start one."""


class NoServer(ServerUnreachable):
    """No server is configured and none runs here."""

    def __init__(self) -> None:
        super().__init__(
            "no Temporal server is running: start one with `python starter.py dev`, or name "
            "yours in TEMPORAL_ADDRESS"
        )


class UnknownRun(Exception):
    """No run of this id, neither on the server nor in the store."""


class NoWorker(Exception):
    """The run goes on, but no worker answers for it; the text says how to start one."""
