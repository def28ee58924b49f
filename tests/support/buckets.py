"""A real S3 server (moto's) in a process of its own, which tests may kill and start again."""

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.server import free_port

BUCKET = "callboard-test"
SECRET = "wJalrXUtnFEMIsecret"


class BucketServer:
    """The server; what it holds is in its memory, so a new process has an empty bucket."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """A store in its bucket."""
        return f"s3://{BUCKET}/team/data"

    @property
    def environment(self) -> dict[str, str]:
        """What obstore has to know."""
        return {
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ENDPOINT": self.endpoint,
        }

    def start(self) -> None:
        """Start it and make the bucket."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._made_bucket():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _made_bucket(self) -> bool:
        request = urllib.request.Request(f"{self.endpoint}/{BUCKET}", method="PUT")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextlib.contextmanager
def bucket_server(folder: Path) -> Iterator[BucketServer]:
    """Run a server for the duration of the context."""
    server = BucketServer(folder / "s3.log")
    server.start()
    try:
        yield server
    finally:
        server.kill()
