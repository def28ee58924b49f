"""Spools under any interleaving, torn tails, lost records, reconnection anywhere."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.spools import SpoolRecord
from stores.assembling import TextAssembler, coherent
from stores.sealing import PLAIN
from stores.spoollines import decode
from stores.spoolreading import LineTail
from stores.spools import FileSpools
from tests.support.cases import cases
from tests.unit.spool_files import RUN, line, partial, write_lines, written
from tests.unit.spool_stories import AGENT, Story, stories

pytestmark = pytest.mark.unit


def told_bytes(story: Story, data: st.DataObject, lossy: bool) -> bytes:
    """The file that a story leaves behind, with torn writes and, if asked, lost records."""
    file = bytearray()
    for record in story.records:
        whole = line(record)
        fate = data.draw(st.integers(0, 5))
        if fate == 0:
            file += whole[: data.draw(st.integers(0, len(whole) - 2))]
        if fate == 0 and lossy:
            continue
        file += whole
    return bytes(file)


@contextlib.contextmanager
def spool_of(content: bytes) -> Iterator[FileSpools]:
    with tempfile.TemporaryDirectory() as folder:
        spools = FileSpools(folder)
        write_lines(spools, content)
        yield spools


def read_through(spools: FileSpools, from_offset: int = 0) -> list[tuple[SpoolRecord, int]]:
    return asyncio.run(written(spools, from_offset))


@cases(60)
@given(stories(), st.data())
def test_torn_writes_cost_no_other_record(story: Story, data: st.DataObject) -> None:
    with spool_of(told_bytes(story, data, lossy=False)) as spools:
        records = [record for record, _ in read_through(spools)]
        assert coherent(records) == {AGENT: story.truths[-1]}
        assert not any(record.gap for record in records)
        latest = max(record.attempt for record in records)
        assert partial(spools, RUN, AGENT, latest) == story.truths[-1]


@cases(60)
@given(stories(), st.data())
def test_a_viewer_that_connects_again_anywhere_sees_what_another_saw(
    story: Story, data: st.DataObject
) -> None:
    content = told_bytes(story, data, lossy=True)
    own = {(r.attempt, r.seq): text for r, text in zip(story.records, story.own_texts, strict=True)}
    with spool_of(content) as spools:
        steady = TextAssembler()
        for record, _ in read_through(spools):
            steady.feed(record)
        restless, position = TextAssembler(), 0
        for _ in range(3):
            items = read_through(spools, data.draw(st.integers(0, position)))
            for record, offset in items[: data.draw(st.integers(0, len(items)))]:
                change = restless.feed(record)
                position = max(position, offset)
                if change is not None and not change.gap:
                    assert restless.text(AGENT) == own[record.attempt, record.seq]
        for record, _ in read_through(spools, position):
            restless.feed(record)
        assert restless.text(AGENT) == steady.text(AGENT)
        assert restless.gap(AGENT) == steady.gap(AGENT)


@cases(60)
@given(stories(), st.data())
def test_a_viewer_that_skipped_bytes_shows_the_same_text_or_a_gap(
    story: Story, data: st.DataObject
) -> None:
    content = told_bytes(story, data, lossy=False)
    own = {(r.attempt, r.seq): text for r, text in zip(story.records, story.own_texts, strict=True)}
    with spool_of(content) as spools:
        viewer = TextAssembler()
        for record, _ in read_through(spools, data.draw(st.integers(0, len(content)))):
            change = viewer.feed(record)
            if change is not None and not change.gap:
                assert viewer.text(AGENT) == own[record.attempt, record.seq]


@cases(60)
@given(stories(max_acts=8), st.data())
def test_lines_are_the_same_however_the_file_grows(story: Story, data: st.DataObject) -> None:
    content = b"".join(line(record) for record in story.records)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        tail = LineTail(path, 0)
        found = tail.read()
        for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True):
            with path.open("ab") as file:
                file.write(content[start:end])
            found += tail.read()
        tail.close()
    records = [record for text, _ in found if (record := decode(text, PLAIN))]
    assert records == story.records
    assert [end for _, end in found] == [
        at + 1 for at in range(len(content)) if content[at : at + 1] == b"\n"
    ]
