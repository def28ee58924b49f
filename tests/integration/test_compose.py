"""docker-compose.yml and Dockerfile, without an engine.

The compose file is loaded by compose-go, the library inside the compose command, which checks it
against the compose specification's JSON Schema; what is asserted here is what it resolved to.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "docker-compose.yml"
CHECKER = ROOT / "tests" / "compose"

ONE_SHOT = {"temporal-schema", "temporal-namespace", "callboard"}
"""Services that end by themselves."""

NOT_PASSED_ON = {
    "CALLBOARD_NO_DOWNLOAD": "no embedded server in the container",
    "CALLBOARD_TEMPORAL_BIN": "no embedded server in the container",
    "CALLBOARD_TEMPORAL_PORT": "no embedded server in the container",
    "CALLBOARD_UI_PORT": "no embedded server in the container",
    "CALLBOARD_ENCRYPTION_KEYS": "names further variables, which are the operator's to pass on",
    "EP_QUALITY_FABRIC_URL": "read by the caller's own program",
    "EP_QUALITY_FABRIC_API_KEY": "read by the caller's own program",
}

Project = dict[str, Any]


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The loader, compiled."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed: the compose file cannot be checked")
    program = tmp_path_factory.mktemp("compose") / "compose"
    environment = {
        **os.environ,
        "GOTOOLCHAIN": "auto",
        "GOWORK": "off",
        "GOFLAGS": "-trimpath -mod=readonly -buildvcs=false",
    }
    built = subprocess.run(
        [go, "build", "-o", str(program), "."],
        cwd=CHECKER,
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return program


def load(
    checker: Path, file: Path, *environment: str, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(checker), str(file), *environment],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
        check=False,
    )


@pytest.fixture(scope="module")
def project(checker: Path) -> Project:
    """The compose file as the compose command resolves it."""
    done = load(checker, COMPOSE, "POSTGRES_PASSWORD=p-4711", "OPENAI_API_KEY=k-4711", env={})
    assert done.returncode == 0, done.stderr
    resolved: Project = json.loads(done.stdout)
    return resolved


def test_the_file_fits_the_compose_specification(project: Project) -> None:
    assert project["name"] == "callboard"
    expected = {"postgres", "temporal", "temporal-ui", "redis", "worker", *ONE_SHOT}
    assert set(project["services"]) == expected


def test_a_mistake_is_an_error(checker: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("    healthcheck:", "    healthchecks:", 1))
    done = load(checker, wrong, "POSTGRES_PASSWORD=x", env={})
    assert done.returncode == 1
    assert "healthchecks" in done.stderr


def test_without_a_password_it_does_not_start(checker: Path) -> None:
    done = load(checker, COMPOSE, env={})
    assert done.returncode == 1
    assert "POSTGRES_PASSWORD" in done.stderr


def test_images_have_exact_tags(project: Project) -> None:
    for name, service in project["services"].items():
        assert re.search(r":\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), name


def test_the_server_is_the_release_that_the_embedded_one_is_built_from(project: Project) -> None:
    module = (ROOT / "devserver" / "go.mod").read_text()
    versions = dict(re.findall(r"^\t(\S+) v(\S+)$", module, re.M))
    images = {name: service["image"] for name, service in project["services"].items()}
    assert images["temporal"].endswith(":" + versions["go.temporal.io/server"])
    assert images["temporal-schema"].endswith(":" + versions["go.temporal.io/server"])
    assert images["temporal-ui"].endswith(":" + versions["github.com/temporalio/ui-server/v2"])


def test_what_stays_up_has_a_health_check_and_restarts(project: Project) -> None:
    for name, service in project["services"].items():
        if name not in ONE_SHOT:
            assert service["healthcheck"]["test"][0] == "CMD", name
            assert service["restart"] == "unless-stopped", name


def test_what_waits_for_health_waits_for_something_that_has_it(project: Project) -> None:
    services = project["services"]
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "healthcheck" in services[other], (name, other)
            else:
                assert other in ONE_SHOT, (name, other)


def test_ports_are_open_to_this_machine_only(project: Project) -> None:
    ports = [port for service in project["services"].values() for port in service.get("ports", [])]
    assert ports
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_data_outlives_containers(project: Project) -> None:
    targets = {
        (name, volume["target"])
        for name, service in project["services"].items()
        for volume in service.get("volumes", [])
        if volume["type"] == "volume"
    }
    assert {
        ("postgres", "/var/lib/postgresql/data"),
        ("redis", "/data"),
        ("worker", "/data"),
        ("callboard", "/data"),
    } == targets


def test_files_that_are_mounted_exist(project: Project) -> None:
    binds = [
        volume
        for service in project["services"].values()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    ]
    assert binds
    for bind in binds:
        assert Path(bind["source"]).is_file(), bind
        assert bind["read_only"], bind


def test_no_secret_stands_in_the_file() -> None:
    for line in COMPOSE.read_text().splitlines():
        match = re.match(r"\s+(\w*(?:PASSWORD|PWD|KEY|SECRET|TOKEN)\w*):(.*)", line)
        if match:
            assert re.fullmatch(r"|\s*\$\{POSTGRES_PASSWORD:\?[^}]+\}", match[2]), line


def test_secrets_come_from_the_environment(project: Project) -> None:
    services = project["services"]
    assert services["postgres"]["environment"]["POSTGRES_PASSWORD"] == "p-4711"
    assert services["temporal"]["environment"]["POSTGRES_PWD"] == "p-4711"
    assert services["worker"]["environment"]["OPENAI_API_KEY"] == "k-4711"
    reached = {
        name
        for name, service in services.items()
        if {"p-4711", "k-4711"} & set((service.get("environment") or {}).values())
    }
    assert reached == {"postgres", "temporal-schema", "temporal", "worker", "callboard"}


def test_every_setting_is_passed_on(project: Project) -> None:
    passed = set(project["services"]["worker"]["environment"])
    example = (ROOT / ".env.example").read_text()
    wanted = set(re.findall(r"^# ([A-Z][A-Z0-9_]+)=", example, re.M))
    assert wanted - passed == set(NOT_PASSED_ON)
    assert passed <= wanted


def test_a_worker_is_given_the_time_that_it_takes_to_stop(project: Project) -> None:
    assert project["services"]["worker"]["stop_grace_period"] == "40s"


def test_dynamic_configuration_is_that_of_the_embedded_server() -> None:
    written = YAML(typ="safe").load(ROOT / "deploy" / "temporal" / "dynamicconfig.yaml")
    source = (ROOT / "devserver" / "dynamicconfig.go").read_text()
    embedded = {
        key: json.loads(value)
        for key, value in re.findall(r'^\t"([\w.]+)":\s+(.+),$', source, re.M)
    }
    for key, values in written.items():
        assert values == [{"value": embedded[key]}], key
    only_embedded = {key for key in embedded if key.split(".")[0] in {"history", "matching"}}
    assert only_embedded - set(written) == {
        "history.persistenceMaxQPS",
        "history.hostLevelCacheMaxSize",
    }


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def test_the_image_is_built_from_the_lock_and_runs_as_nobody() -> None:
    steps = instructions()
    assert any("uv sync --frozen --no-dev" in step for kind, step in steps if kind == "RUN")
    users = [step for kind, step in steps if kind == "USER"]
    assert users
    assert users[-1] == "10001:10001"
    last_user = max(i for i, (kind, _) in enumerate(steps) if kind == "USER")
    assert all(kind not in {"RUN", "COPY", "ADD"} for kind, _ in steps[last_user:])
    for kind, step in steps:
        if kind == "FROM":
            assert re.match(r"python:\d+\.\d+\.\d+-slim", step), step
        if kind in {"ARG", "ENV"}:
            assert not re.search(r"KEY|PASSWORD|SECRET|TOKEN", step), step


def test_the_image_holds_every_room() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    listed = re.search(r"root_packages = \[(.*?)\]", pyproject, re.S)
    assert listed is not None
    rooms = set(re.findall(r'"(\w+)"', listed[1])) - {"starter", "worker"}
    copied = {
        word
        for kind, step in instructions()
        if kind == "COPY" and "--from" not in step
        for word in step.split()[:-1]
    }
    assert rooms | {"starter.py", "worker.py", "deploy/polling.py"} <= copied
    let_in = {
        line[1:]
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert let_in == copied
    for name in copied - {"starter.py"}:
        assert (ROOT / name).exists(), name
