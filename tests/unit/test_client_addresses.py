"""Where the user's own Temporal server is looked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.addresses import configured_address

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parent.parent.parent
PROFILE = '[profile.default]\naddress = "of-the-file:7233"\n'


def test_ours_goes_first() -> None:
    env = {"CALLBOARD_TEMPORAL_ADDRESS": "a:1", "TEMPORAL_ADDRESS": "b:2"}
    assert configured_address(env) == "a:1"
    assert configured_address({"TEMPORAL_ADDRESS": "b:2"}) == "b:2"


def test_a_file_that_is_named_is_read(tmp_path: Path) -> None:
    file = tmp_path / "other.toml"
    file.write_text(PROFILE)
    assert configured_address({"TEMPORAL_CONFIG_FILE": str(file)}) == "of-the-file:7233"


def asked(home: Path) -> list[str]:
    """Ask in a process with this home; return the address and whether Temporal was imported."""
    code = (
        "import sys; from client.addresses import configured_address; "
        "print(configured_address(), 'temporalio' in sys.modules)"
    )
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of settings is elsewhere")
def test_the_users_profile_is_found_and_nothing_is_imported_without_one(tmp_path: Path) -> None:
    assert asked(tmp_path) == ["None", "False"]
    folder = tmp_path / ".config" / "temporalio"
    folder.mkdir(parents=True)
    (folder / "temporal.toml").write_text(PROFILE)
    assert asked(tmp_path) == ["of-the-file:7233", "True"]
