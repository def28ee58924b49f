"""Collecting garbage: what is needed, young or changed stays; the rest goes, names first."""

import base64
import os
import zlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.artifacts import ArtifactRef
from contracts.messages import Message
from stores.artifacts import RENEW_AFTER, ArtifactStore
from stores.backend import RANGE_BYTES, Entry
from stores.collecting import GRACE, Garbage
from stores.exceptions import WrongKey
from stores.keys import artifact_key, digest_of
from stores.scanning import ReferenceScanner
from stores.sealing import PLAIN, AesGcm, Sealer
from stores.transcripts import Transcripts

pytestmark = pytest.mark.unit

KEY = base64.b64encode(b"k" * 32).decode()
SEALERS: list[Sealer] = [PLAIN, AesGcm([("K", KEY)])]


def never(name: str, modified: datetime) -> bool:
    return False


def always(name: str, modified: datetime) -> bool:
    return True


def age(root: Path, by: timedelta = 2 * GRACE) -> None:
    """Make all that lies in a store older."""
    for path in root.rglob("*"):
        if path.is_file():
            when = path.stat().st_mtime - by.total_seconds()
            os.utime(path, (when, when))


def digests(entries: Iterable[Entry]) -> set[str | None]:
    return {digest_of(entry.key) for entry in entries}


@pytest.fixture(params=SEALERS, ids=["plain", "sealed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore.open(str(tmp_path / "store"), request.param, cache_bytes=0)


async def collect(store: ArtifactStore, garbage: Garbage) -> list[str]:
    """Remove garbage; return the keys that went, in their order."""
    gone: list[str] = []
    assert await store.collector().remove(garbage, lambda entry: gone.append(entry.key)) == []
    return gone


async def test_what_roots_and_names_lead_to_stays_and_the_rest_goes(
    store: ArtifactStore, tmp_path: Path
) -> None:
    leaf, other = await store.put_text("leaf"), await store.put_text("other")
    page = await store.put_json({"values": {"a": {"ref": leaf.model_dump()}}})
    record = await store.put_json({"plan": page.model_dump(), "of": "a run"})
    rooted = await store.put_json({"uri": f"artifact:{other.sha256}"})
    lost = await store.put_json({"of": "nobody", "leads": leaf.model_dump()})
    await store.note("runs/r", record)
    age(tmp_path)
    found = await store.collector().look({rooted.sha256}, never)
    assert digests(found.artifacts) == {lost.sha256}
    assert digests(found.kept) == {ref.sha256 for ref in (leaf, other, page, record, rooted)}
    gone = await collect(store, found)
    assert [digest_of(key) for key in gone] == [lost.sha256]
    assert await store.get_text(leaf) == "leaf"
    assert not await store.exists(lost)


async def test_an_expired_name_goes_first_and_takes_what_only_it_led_to(
    store: ArtifactStore, tmp_path: Path
) -> None:
    shared, own = await store.put_text("shared"), await store.put_text("own")
    old = await store.put_json([shared.model_dump(), own.model_dump()])
    new = await store.put_json([shared.model_dump()])
    await store.note("runs/old", old)
    await store.note("runs/" + "new" * 100, new)
    age(tmp_path)
    asked: list[str] = []

    def expired(name: str, modified: datetime) -> bool:
        asked.append(name)
        assert datetime.now(UTC) - modified > GRACE
        return name == "runs/old"

    found = await store.collector().look((), expired)
    assert sorted(asked) == ["runs/" + "new" * 100, "runs/old"]
    gone = await collect(store, found)
    assert gone[0] == "runs/old.ref"
    assert {digest_of(key) for key in gone[1:]} == {old.sha256, own.sha256}
    assert await store.lookup("runs/old") is None
    assert await store.get_text(shared) == "shared"


async def test_a_whole_conversation_hangs_on_its_last_node(
    store: ArtifactStore, tmp_path: Path
) -> None:
    transcripts = Transcripts(store)
    ref = None
    for number in range(30):
        ref = await transcripts.append(ref, [Message("user", str(number))])
    assert ref is not None
    summary = await transcripts.compact(ref, Message("user", "all"), by="scribe")
    age(tmp_path)
    found = await store.collector().look({summary.sha256}, never)
    assert len(found.kept) == 31
    assert found.artifacts == ()
    assert len(await transcripts.read_original(summary)) == 30


async def test_the_young_stay_and_so_does_what_they_lead_to(
    store: ArtifactStore, tmp_path: Path
) -> None:
    old = await store.put_text("stored long ago")
    lost = await store.put_text("lost long ago")
    age(tmp_path)
    young = await store.put_json({"ref": old.model_dump()})
    found = await store.collector().look((), never)
    assert digests(found.artifacts) == {lost.sha256}
    assert digests(found.young) == {young.sha256}


async def test_what_is_stored_again_during_a_collection_stays(
    store: ArtifactStore, tmp_path: Path
) -> None:
    ref = await store.put_text("said before")
    age(tmp_path)
    found = await store.collector().look((), never)
    assert digests(found.artifacts) == {ref.sha256}
    await store.put_text("said before")
    assert await collect(store, found) == []
    assert await store.get_text(ref) == "said before"


async def test_a_look_changes_nothing_and_collecting_twice_is_harmless(
    store: ArtifactStore, tmp_path: Path
) -> None:
    await store.note("runs/r", await store.put_text("x"))
    age(tmp_path)
    before = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    found = await store.collector().look((), always)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == before
    assert len(await collect(store, found)) == 2
    assert await collect(store, found) == []


def test_no_object_that_was_stored_lately_can_be_old_enough_to_go() -> None:
    assert 2 * RENEW_AFTER < GRACE


async def test_damage_leads_nowhere_and_does_not_stop_a_collection(
    store: ArtifactStore, tmp_path: Path
) -> None:
    leaf = await store.put_text("leaf")
    record = await store.put_json({"leaf": leaf.model_dump(), "more": "x" * 100})
    await store.note("runs/r", record)
    await store.note("runs/broken", record)
    (path,) = (tmp_path / "store" / "artifacts").glob(f"*/{record.sha256[2:]}*")
    path.write_bytes(path.read_bytes()[:70] + b"!" * 80)
    (tmp_path / "store" / "runs" / "broken.ref").write_bytes(b"")
    age(tmp_path)
    found = await store.collector().look((), never)
    assert digests(found.artifacts) == {leaf.sha256}
    assert "runs/broken.ref" in found.damaged


@pytest.mark.parametrize(
    "sealer", [PLAIN, AesGcm([("K", base64.b64encode(b"x" * 32).decode())])], ids=["none", "other"]
)
async def test_without_the_right_key_nothing_is_removed(tmp_path: Path, sealer: Sealer) -> None:
    sealed = ArtifactStore.open(str(tmp_path), SEALERS[1])
    leaf = await sealed.put_text("leaf")
    record = await sealed.put_json({"leaf": leaf.model_dump()})
    await sealed.note("runs/r", record)
    age(tmp_path)
    with pytest.raises(WrongKey, match=f"{record.sha256}.*nothing was removed"):
        await ArtifactStore.open(str(tmp_path), sealer).collector().look((), never)


async def test_a_plain_copy_is_read_where_the_sealed_one_cannot_be(tmp_path: Path) -> None:
    plain = ArtifactStore.open(str(tmp_path))
    leaf = await plain.put_text("leaf")
    record = await plain.put_json({"leaf": leaf.model_dump()})
    sealed = ArtifactStore.open(str(tmp_path), SEALERS[1])
    await sealed.put_json({"leaf": leaf.model_dump()})
    age(tmp_path)
    found = await plain.collector().look({record.sha256}, never)
    assert found.artifacts == ()


async def test_what_killed_writers_left_goes_after_a_while(
    store: ArtifactStore, tmp_path: Path
) -> None:
    folder = tmp_path / "store" / "artifacts" / "ab"
    folder.mkdir(parents=True)
    (folder / ("cd" * 31 + "#1")).write_bytes(b"half")
    assert (await store.collector().look((), never)).unfinished == ()
    age(tmp_path)
    found = await store.collector().look((), never)
    assert [entry.size_bytes for entry in found.unfinished] == [4]
    await collect(store, found)
    assert list(folder.iterdir()) == []


async def test_nothing_is_removed_through_a_link_out_of_the_store(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    victim = outside / ("cd" * 31)
    victim.write_text("precious")
    (outside / "thesis#1").write_text("unfinished, and precious")
    store = ArtifactStore.open(str(tmp_path / "store"))
    (tmp_path / "store" / "artifacts").mkdir()
    (tmp_path / "store" / "artifacts" / "ab").symlink_to(outside)
    (tmp_path / "store" / "notes.txt").write_text("not ours")
    age(tmp_path)
    found = await store.collector().look((), always)
    stay = await store.collector().remove(found, lambda entry: None)
    assert victim.read_text() == "precious"
    assert len(stay) == 1
    assert "leads out of the store" in stay[0]
    assert str(outside) in stay[0]
    assert (outside / "thesis#1").exists()
    assert (tmp_path / "store" / "notes.txt").exists()


async def test_a_reference_across_the_borders_of_pieces_is_seen(tmp_path: Path) -> None:
    for sealer in SEALERS:
        store = ArtifactStore.open(str(tmp_path / (sealer.suffix or "plain")), sealer)
        leaf = await store.put_text("leaf")
        filler = "x" * (RANGE_BYTES - 30)
        whole = await store.put_json([filler, leaf.sha256, filler])
        age(tmp_path)
        found = await store.collector().look({whole.sha256}, never)
        assert found.artifacts == (), sealer.suffix


DIGEST = "0123456789abcdef" * 4


@given(st.lists(st.integers(1, 200), max_size=6), st.integers(0, 150))
def test_a_reference_is_found_however_the_bytes_are_cut(cuts: list[int], before: int) -> None:
    data = ('["' + "z" * before + '","' + DIGEST + '"]').encode()
    scanner, at = ReferenceScanner(), 0
    for cut in [*cuts, len(data)]:
        scanner.feed(data[at : at + cut])
        at += cut
    assert DIGEST in scanner.found


@given(st.lists(st.integers(1, 60), max_size=8))
def test_a_reference_under_zlib_is_found_however_the_bytes_are_cut(cuts: list[int]) -> None:
    data = zlib.compress(("{" + "a b c d e f " * 50 + f'"{DIGEST}"' + "}").encode())
    scanner, at = ReferenceScanner(), 0
    for cut in [*cuts, len(data)]:
        scanner.feed(data[at : at + cut])
        at += cut
    assert DIGEST in scanner.found


@pytest.mark.parametrize("before", [1_048_500, 1_048_575, 3_000_000])
def test_what_little_becomes_a_lot_is_read_whole(before: int) -> None:
    scanner = ReferenceScanner()
    scanner.feed(zlib.compress(("[" + "1" * before + f',"{DIGEST}"]').encode()))
    assert scanner.found >= {DIGEST}


def test_what_only_looks_like_zlib_leads_nowhere() -> None:
    scanner = ReferenceScanner()
    assert not scanner.feed(f"x^2 {DIGEST}".encode())
    assert scanner.found == set()


async def test_the_state_that_a_long_run_carries_on_is_read_too(
    store: ArtifactStore, tmp_path: Path
) -> None:
    leaf = await store.put_text("leaf")
    carried = await store.put_bytes(zlib.compress(leaf.model_dump_json().encode()))
    age(tmp_path)
    found = await store.collector().look({carried.sha256}, never)
    assert digests(found.kept) == {leaf.sha256, carried.sha256}


def test_what_is_no_json_leads_nowhere() -> None:
    scanner = ReferenceScanner()
    assert scanner.feed(b" \n")
    assert not scanner.feed(f"see {DIGEST}".encode())
    assert scanner.found == set()


def test_keys_and_hashes_belong_together() -> None:
    ref = ArtifactRef(sha256=DIGEST, size_bytes=1)
    assert digest_of(artifact_key(ref.sha256)) == DIGEST
    assert digest_of(artifact_key(ref.sha256) + ".aesgcm") == DIGEST
    for other in ("runs/r.ref", "artifacts/ab/cd", f"artifacts/ab/{'c' * 62}#1", "artifacts/x"):
        assert digest_of(other) is None
