"""Transcripts: chains of nodes that share their past."""

import pytest
from obstore.store import MemoryStore

from contracts.messages import Message, ToolCall
from contracts.parts import FileInlinePart, TextPart
from stores.artifacts import ArtifactStore
from stores.backend import Backend
from stores.exceptions import ArtifactCorrupt
from stores.transcripts import Transcripts

pytestmark = pytest.mark.unit


class CountingBackend(Backend):
    """In memory, and counts reads and writes."""

    def __init__(self) -> None:
        super().__init__(MemoryStore(), "memory://")
        self.gets = 0
        self.written_bytes = 0

    async def get(self, key: str) -> bytes | None:
        self.gets += 1
        return await super().get(key)

    async def put(self, key: str, data: bytes) -> None:
        self.written_bytes += len(data)
        await super().put(key, data)


@pytest.fixture
def transcripts() -> Transcripts:
    return Transcripts(ArtifactStore.open("memory://"))


def user(text: str) -> Message:
    return Message("user", text)


async def test_messages_come_back_in_order(transcripts: Transcripts) -> None:
    first = await transcripts.append(None, [Message("system", "s"), user("1")])
    second = await transcripts.append(first, [Message("assistant", "2")])
    third = await transcripts.append(second, [user("3")])
    assert [m.content for m in await transcripts.read(third)] == ["s", "1", "2", "3"]
    assert [m.content for m in await transcripts.read(first)] == ["s", "1"]


async def test_a_message_comes_back_with_all_it_holds(transcripts: Transcripts) -> None:
    turn = Message(
        "assistant",
        "see",
        tool_calls=(ToolCall("c1", "find", {"q": "ü", "n": 1}, signature="abc="),),
        parts=(TextPart(text="t"), FileInlinePart(data=b"\x89PNG\xff\x00", mime_type="image/png")),
        vendor_state={"vendor": "v", "items": [1, None]},
    )
    answer = Message("tool", "42", name="find", tool_call_id="c1")
    ref = await transcripts.append(None, [turn, answer])
    assert await transcripts.read(ref) == [turn, answer]


async def test_two_continuations_share_their_past(transcripts: Transcripts) -> None:
    base = await transcripts.append(None, [user("base")])
    left = await transcripts.append(base, [user("left")])
    right = await transcripts.append(base, [user("right")])
    assert [m.content for m in await transcripts.read(left)] == ["base", "left"]
    assert [m.content for m in await transcripts.read(right)] == ["base", "right"]
    assert await transcripts.append(base, [user("left")]) == left


async def test_nodes_count_messages_and_tokens(transcripts: Transcripts) -> None:
    first = await transcripts.append(None, [user("a"), user("b")], tokens=7)
    second = await transcripts.append(first, [user("c")], tokens=5)
    node = await transcripts.node(second)
    assert (node.length, node.tokens, node.parent) == (3, 12, first)
    uncounted = await transcripts.node(await transcripts.append(second, [user("dddd")]))
    assert uncounted.tokens >= 12 + 4


async def test_a_summary_stands_for_what_came_before_and_loses_nothing(
    transcripts: Transcripts,
) -> None:
    long = await transcripts.append(None, [user("1"), user("2")], tokens=20)
    compacted = await transcripts.compact(long, user("summary"), tokens=3, by="scribe")
    after = await transcripts.append(compacted, [user("3")], tokens=1)
    again = await transcripts.compact(after, user("shorter"), tokens=2, by="scribe")
    last = await transcripts.append(again, [user("4")], tokens=1)
    assert [m.content for m in await transcripts.read(after)] == ["summary", "3"]
    assert [m.content for m in await transcripts.read(last)] == ["shorter", "4"]
    assert [m.content for m in await transcripts.read_original(last)] == ["1", "2", "3", "4"]
    assert [m.content for m in await transcripts.read(long)] == ["1", "2"]
    node = await transcripts.node(after)
    assert (node.length, node.tokens) == (2, 4)
    summary = await transcripts.node(compacted)
    assert (summary.kind, summary.parent, summary.by) == ("summary", long, "scribe")
    assert node.by == ""


async def test_appending_nothing_changes_nothing(transcripts: Transcripts) -> None:
    ref = await transcripts.append(None, [user("1")])
    assert await transcripts.append(ref, []) == ref
    with pytest.raises(ValueError, match="at least one"):
        await transcripts.append(None, [])


async def test_a_long_conversation_is_written_and_read_once() -> None:
    backend = CountingBackend()
    transcripts = Transcripts(ArtifactStore(backend))
    ref = None
    for number in range(1_500):
        ref = await transcripts.append(ref, [user(f"turn {number:04}")])
    assert ref is not None
    assert backend.gets == 0
    assert backend.written_bytes < 1_500 * 500
    cold = Transcripts(ArtifactStore(backend))
    messages = await cold.read(ref)
    assert [m.content for m in messages] == [f"turn {number:04}" for number in range(1_500)]
    assert backend.gets == 1_500
    longer = await transcripts.append(ref, [user("one more")])
    assert len(await cold.read(longer)) == 1_501
    assert backend.gets == 1_501


async def test_a_reader_fetches_what_it_lacks_and_nothing_before_a_summary() -> None:
    backend = CountingBackend()
    writer = Transcripts(ArtifactStore(backend))
    ref = await writer.append(None, [user("0")])
    for number in range(1, 40):
        ref = await writer.append(ref, [user(str(number))])
    reader = Transcripts(ArtifactStore(backend))
    await reader.read(ref)
    assert backend.gets == 40
    left = await writer.append(await writer.append(ref, [user("l1")]), [user("l2")])
    right = await writer.append(ref, [user("r1")])
    assert len(await reader.read(left)) == 42
    assert backend.gets == 42
    assert len(await reader.read(right)) == 41
    assert backend.gets == 43
    short = await writer.append(
        await writer.compact(left, user("all"), by="scribe"), [user("and on")]
    )
    cold = Transcripts(ArtifactStore(backend))
    backend.gets = 0
    assert [m.content for m in await cold.read(short)] == ["all", "and on"]
    assert backend.gets == 2
    assert len(await cold.read_original(short)) == 43
    assert backend.gets == 2 + 42


async def test_a_node_of_an_earlier_form_still_reads() -> None:
    store = ArtifactStore.open("memory://")
    ref = await store.put_json(
        {
            "kind": "summary",
            "messages": [{"role": "user", "content": "s"}],
            "length": 1,
            "tokens": 1,
        }
    )
    assert (await Transcripts(store).node(ref)).by == ""


async def test_what_is_no_node_is_corrupt() -> None:
    store = ArtifactStore.open("memory://")
    ref = await store.put_json({"messages": "no"})
    with pytest.raises(ArtifactCorrupt, match="TranscriptNode"):
        await Transcripts(store).read(ref)


async def test_a_conversation_that_goes_on_is_read_one_node_at_a_time() -> None:
    backend = CountingBackend()
    store = ArtifactStore(backend, cache_bytes=0)
    writer, reader = Transcripts(store), Transcripts(store)
    ref = await writer.append(None, [user("0")])
    for number in range(1, 6):
        await reader.read(ref)
        backend.gets = 0
        ref = await writer.append(ref, [user(str(number))])
        assert backend.gets == 0
        assert [m.content for m in await reader.read(ref)] == [str(n) for n in range(number + 1)]
        assert backend.gets == 1


async def test_a_fork_of_what_is_known_leaves_the_other_as_it_was() -> None:
    transcripts = Transcripts(ArtifactStore.open("memory://"))
    root = await transcripts.append(None, [user("root")])
    left = await transcripts.append(root, [user("left")])
    right = await transcripts.append(root, [user("right")])
    further = await transcripts.append(left, [user("further")])
    for ref, shown in ((right, ["root", "right"]), (further, ["root", "left", "further"])):
        assert [m.content for m in await transcripts.read(ref)] == shown
    assert [m.content for m in await transcripts.read(left)] == ["root", "left"]
    assert await transcripts.size(further) == await Transcripts(transcripts._store).size(further)


async def test_what_a_reader_does_to_its_list_is_its_own() -> None:
    transcripts = Transcripts(ArtifactStore.open("memory://"))
    ref = await transcripts.append(None, [user("kept")])
    (await transcripts.read(ref)).clear()
    assert [m.content for m in await transcripts.read(ref)] == ["kept"]


async def test_what_is_remembered_is_bounded_and_the_rest_is_read_again() -> None:
    backend = CountingBackend()
    store = ArtifactStore(backend, cache_bytes=0)
    transcripts = Transcripts(store, known_bytes=5_000)
    refs = [await transcripts.append(None, [user(str(n) + "x" * 2_000)]) for n in range(4)]
    backend.gets = 0
    for ref in reversed(refs):
        await transcripts.read(ref)
    assert backend.gets == 2
    large = await transcripts.append(refs[0], [user("y" * 9_000)])
    assert len(await transcripts.read(large)) == 2


async def test_a_summary_is_where_reading_begins_and_what_follows_is_added() -> None:
    transcripts = Transcripts(ArtifactStore.open("memory://"))
    ref = await transcripts.append(None, [user("long"), user("story")])
    ref = await transcripts.compact(ref, user("short"), by="writer")
    assert await transcripts.size(ref) == (1, (await transcripts.node(ref)).tokens)
    ref = await transcripts.append(ref, [user("on")])
    assert [m.content for m in await transcripts.read(ref)] == ["short", "on"]
    assert [m.content for m in await transcripts.read_original(ref)] == ["long", "story", "on"]
