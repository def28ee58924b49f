"""docs/storage.md: the variables, addresses and flags that it names exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from config.settings import variables
from starter import app
from stores.artifacts import ArtifactStore

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs" / "storage.md").read_text()
WHERE = PAGE.split("\n## Where\n")[1].split("\n## ")[0]


def test_its_variables_exist() -> None:
    named = set(re.findall(r"\bCALLBOARD_[A-Z_]+\b", PAGE))
    assert {"CALLBOARD_ARTIFACTS_URL", "CALLBOARD_ENCRYPTION_KEYS"} <= named <= set(variables())


def test_its_flags_exist() -> None:
    commands = getattr(get_command(app), "commands", {})
    known = {flag for option in commands["gc"].params for flag in option.opts}
    named = set(re.findall(r"--[a-z][a-z-]+", re.sub(r"`uv [^`]+`", "", PAGE)))
    assert named == known - {"--json"}


@pytest.mark.parametrize("row", re.findall(r"^\| `([a-z0-9]+://[^`]+)` \| (.+) \|$", WHERE, re.M))
def test_its_addresses_can_be_opened(row: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    url, options = row
    values = {"AWS_REGION": "eu-central-1", "AZURE_STORAGE_ACCOUNT_KEY": "aGVsbG8="}
    for name in re.findall(r"`((?:AWS|AZURE)_[A-Z_]+)`", options):
        if name != "AWS_ENDPOINT":
            monkeypatch.setenv(name, values.get(name, "someone"))
    if url.startswith("file:"):
        assert url == "file:///srv/callboard"
        return
    assert ArtifactStore.open(url).name == url


def test_all_kinds_of_addresses_are_in_the_table() -> None:
    assert re.findall(r"^\| `([a-z0-9]+)://", WHERE, re.M) == ["file", "s3", "gs", "az"]
