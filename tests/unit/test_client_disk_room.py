"""A full disk is told once, and so is room again."""

from pathlib import Path

import pytest

from client.disk_room import LEAST_BYTES, LOOK_EVERY_S, DiskRoom, shortage

pytestmark = pytest.mark.unit


class Disk:
    """A disk whose room, and a clock whose time, is set."""

    def __init__(self) -> None:
        self.free = 10 * LEAST_BYTES
        self.now = 100.0
        self.looks = 0
        self.gone = False

    def ask(self, folder: Path) -> int:
        self.looks += 1
        if self.gone:
            raise FileNotFoundError(str(folder))
        return self.free


def test_a_full_disk_is_told_once_and_so_is_room_again() -> None:
    disk, said = Disk(), list[str]()
    room = DiskRoom(Path("/data"), said.append, free=disk.ask, clock=lambda: disk.now)

    def later(free: int) -> None:
        disk.free = free
        disk.now += LOOK_EVERY_S
        room.look()

    later(LEAST_BYTES)
    assert said == []
    later(200_000)
    later(0)
    assert said == ["the disk of /data has 0.2 MB left: make room, and what waits for it goes on"]
    later(LEAST_BYTES)
    later(LEAST_BYTES)
    assert said[1:] == ["there is room in /data again"]
    later(0)
    assert len(said) == 3


def test_it_looks_seldom_and_never_raises() -> None:
    disk, said = Disk(), list[str]()
    room = DiskRoom(Path("/data"), said.append, free=disk.ask, clock=lambda: disk.now)
    for _ in range(20):
        room.look()
        disk.now += LOOK_EVERY_S / 10
    assert disk.looks == 2
    disk.gone = True
    disk.now += LOOK_EVERY_S
    room.look()
    assert (disk.looks, said) == (3, [])


def test_who_could_not_start_is_told_of_a_disk_without_room() -> None:
    disk = Disk()
    assert shortage(Path("/data"), disk.ask) == ""
    disk.free = 400_000
    assert shortage(Path("/data"), disk.ask) == "the disk of /data has 0.4 MB left: make room"
    disk.gone = True
    assert shortage(Path("/data"), disk.ask) == ""
