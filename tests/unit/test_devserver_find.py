"""Where the Temporal server is looked for, and in which order."""

from __future__ import annotations

import itertools
import json
import re
import threading
from pathlib import Path

import pytest

from client.devserver import (
    DYNAMIC_CONFIG,
    BinaryNotFoundError,
    BuildError,
    DevServer,
    ServerBinary,
    find_server,
)
from client.devserver.binary import SOURCES, Report, built_path, downloaded_path
from client.devserver.build import build_server

pytestmark = pytest.mark.unit


class Places:
    """The world that find_server sees, and what it did to it."""

    def __init__(self, folder: Path) -> None:
        self.cache = folder / "cache"
        self.sources = folder / "devserver"
        self.sources.mkdir()
        (self.sources / "main.go").write_text("package main\n")
        (self.sources / "go.mod").write_text("module m\n")
        self.env: dict[str, str] = {}
        self.on_path: str | None = None
        self.downloadable = False
        self.calls: list[str] = []
        self.lines: list[str] = []

    def find(self) -> ServerBinary:
        return find_server(
            self.lines.append,
            env=self.env,
            which=lambda name: self.on_path,
            cache=self.cache,
            sources=self.sources,
            download=self._download,
            build=self._build,
        )

    def _download(self, target: Path, report: Report) -> bool:
        self.calls.append("download")
        if self.downloadable:
            executable(target)
        return self.downloadable

    def _build(self, sources: Path, target: Path, report: Report) -> None:
        self.calls.append("build")
        executable(target)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path)


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_variable_comes_first(places: Places, tmp_path: Path) -> None:
    named = executable(tmp_path / "mine")
    places.env["CALLBOARD_TEMPORAL_BIN"] = str(named)
    places.on_path = "/somewhere/temporal"
    assert places.find() == ServerBinary(named, "env")
    assert places.calls == []


@pytest.mark.parametrize(("make", "says"), [(False, "no such file"), (True, "chmod")])
def test_a_variable_that_names_nothing_runnable_is_an_error(
    places: Places, tmp_path: Path, make: bool, says: str
) -> None:
    named = tmp_path / "gone"
    if make:
        named.write_text("")
    places.env["CALLBOARD_TEMPORAL_BIN"] = str(named)
    places.on_path = "/somewhere/temporal"
    with pytest.raises(BinaryNotFoundError, match=says) as caught:
        places.find()
    assert str(named) in str(caught.value)
    assert "CALLBOARD_TEMPORAL_BIN" in str(caught.value)


def test_then_the_path(places: Places) -> None:
    places.on_path = "/somewhere/temporal"
    executable(built_path(places.cache, places.sources))
    assert places.find() == ServerBinary(Path("/somewhere/temporal"), "path")


@pytest.mark.parametrize("built", [True, False])
def test_then_the_cache(places: Places, built: bool) -> None:
    kept = executable(
        built_path(places.cache, places.sources) if built else downloaded_path(places.cache)
    )
    assert places.find() == ServerBinary(kept, "cache")
    assert places.calls == []


def test_then_the_download_which_is_kept(places: Places) -> None:
    places.downloadable = True
    kept = downloaded_path(places.cache)
    assert places.find() == ServerBinary(kept, "download")
    assert places.find() == ServerBinary(kept, "cache")
    assert places.calls == ["download"]


def test_then_the_build_which_is_kept(places: Places) -> None:
    kept = built_path(places.cache, places.sources)
    assert places.find() == ServerBinary(kept, "build")
    assert places.find() == ServerBinary(kept, "cache")
    assert places.calls == ["download", "build"]


def test_the_download_can_be_switched_off(places: Places) -> None:
    places.env["CALLBOARD_NO_DOWNLOAD"] = "1"
    places.downloadable = True
    assert places.find().origin == "build"
    assert places.calls == ["build"]


def test_edited_sources_are_built_again(places: Places) -> None:
    first = places.find()
    (places.sources / "main.go").write_text("package main // edited\n")
    second = places.find()
    assert second.origin == "build"
    assert second.path != first.path


def test_tests_and_notes_are_not_sources(places: Places) -> None:
    before = built_path(places.cache, places.sources)
    (places.sources / "main_test.go").write_text("package main\n")
    (places.sources / "README.md").write_text("words\n")
    assert built_path(places.cache, places.sources) == before


def test_two_that_look_at_once_build_once(places: Places) -> None:
    building, finish = threading.Event(), threading.Event()

    def build(sources: Path, target: Path, report: Report) -> None:
        places.calls.append("build")
        building.set()
        finish.wait(30)
        executable(target)

    def look() -> None:
        found.append(
            find_server(
                places.lines.append,
                env={"CALLBOARD_NO_DOWNLOAD": "1"},
                which=lambda name: None,
                cache=places.cache,
                sources=places.sources,
                build=build,
            )
        )

    found: list[ServerBinary] = []
    first, second = threading.Thread(target=look), threading.Thread(target=look)
    first.start()
    assert building.wait(30)
    second.start()
    second.join(0.3)
    finish.set()
    first.join(30)
    second.join(30)
    assert places.calls == ["build"]
    assert sorted(b.origin for b in found) == ["build", "cache"]


def test_without_sources_the_error_names_the_other_ways(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="CALLBOARD_TEMPORAL_BIN"):
        build_server(tmp_path / "none", tmp_path / "target", lambda line: None)


def test_the_go_server_has_the_same_defaults() -> None:
    text = (SOURCES / "dynamicconfig.go").read_text()
    defaults = dict(re.findall(r'^\t"([\w.]+)":\s+(.+),$', text, re.MULTILINE))
    for key, value in DYNAMIC_CONFIG.items():
        assert defaults[key] == json.dumps(value), key


def test_every_server_gets_the_same_dynamic_configuration(tmp_path: Path) -> None:
    arguments = [
        DevServer(
            ServerBinary(Path("temporal"), origin),
            None,
            port=1,
            ui_port=2,
            log_file=tmp_path / "log",
            dynamic_config={"matching.enableFairness": False, "limit.maxIDLength": 99},
        ).arguments()
        for origin in ("path", "cache")
    ]
    without_free_ports = [[a for a in each if not a.isdigit()] for each in arguments]
    assert without_free_ports[0] == without_free_ports[1]
    pairs = itertools.pairwise(arguments[0])
    values = [value for flag, value in pairs if flag == "--dynamic-config-value"]
    assert 'history.timerProcessorMaxTimeShift="10ms"' in values
    assert "history.transferProcessorMaxPollRPS=5000" in values
    assert "matching.enableFairness=false" in values
    assert "limit.maxIDLength=99" in values
