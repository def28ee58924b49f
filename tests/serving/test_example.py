"""The example of a client does what it says, and the example of keys can be read."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from serving.callers import load_keys
from tests.serving.stage import stage
from tests.support.fixtures import ROOT
from tests.support.scripted import Say, Script
from tests.support.server import LocalServer

pytestmark = pytest.mark.integration

EXAMPLES = ROOT / "examples" / "serving"


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_client(server: LocalServer, tmp_path: Path) -> None:
    text = "one two three four five six"
    client = loaded(EXAMPLES / "client.py")
    async with stage(server.address, tmp_path, Script(default=Say(text, seconds=0.8))) as on:
        assert await client.ask_once(on.url, "none", "tested") == text
        assert await client.talk(on.url, "none", "tested") == text
        assert on.script.count() == 2


def test_the_keys() -> None:
    ring = load_keys(str(EXAMPLES / "keys.yaml"), {"SHOP_KEY": "a-key-of-the-shop"})
    shop = ring.find("a-key-of-the-shop")
    assert shop is not None
    assert shop.may_ask("weather")
    assert ring.models["weather"].requests_per_minute == 30
