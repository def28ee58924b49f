"""Bytes in, events out, whatever the network does to the bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.exceptions import StreamInterrupted
from providers.sse import STRAY_LIMIT, ServerSentEvent, SSEDecoder

pytestmark = pytest.mark.unit

STREAM = (
    "\ufeff: hello\n\n"
    'event: first\ndata: {"text": "wörld 👋"}\nid: 7\n\n'
    "data:no space\r\n\r\n"
    "data: one\rdata: two\r\r"
    "data\n\n"
    "retry: 10\ndata:  two spaces\n\n"
    "event: empty\n\n"
    "data: [DONE]\n\n"
).encode()

EVENTS = [
    ServerSentEvent('{"text": "wörld 👋"}'.encode(), "first", "7"),
    ServerSentEvent(b"no space", "", "7"),
    ServerSentEvent(b"one\ntwo", "", "7"),
    ServerSentEvent(b" two spaces", "", "7"),
    ServerSentEvent(b"[DONE]", "", "7"),
]


def decode(pieces: list[bytes]) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert decoder.close() is None
    assert decoder.pending == 0
    return events


def test_whole() -> None:
    assert decode([STREAM]) == EVENTS


def test_byte_by_byte() -> None:
    assert decode([STREAM[i : i + 1] for i in range(len(STREAM))]) == EVENTS


@pytest.mark.parametrize("cut", range(len(STREAM)))
def test_cut_anywhere(cut: int) -> None:
    assert decode([STREAM[:cut], STREAM[cut:]]) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cuts(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert decode([STREAM[a:b] for a, b in itertools.pairwise(edges)]) == EVENTS


@given(st.lists(st.text(alphabet="ab:\r\n ", max_size=30)), st.sampled_from(["\n", "\r\n", "\r"]))
def test_never_fails_and_is_independent_of_cuts(texts: list[str], end: str) -> None:
    data = end.join(f"data: {t}" for t in texts).encode() + (end * 2).encode()
    whole, single = SSEDecoder(), SSEDecoder()
    one = [e for b in data for e in single.feed(bytes([b]))]
    assert whole.feed(data) == one


def test_an_event_comes_with_its_blank_line_and_not_later() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [ServerSentEvent(b"a")]
    assert decoder.feed(b"\ndata: b\n") == []
    assert decoder.feed(b"\n") == [ServerSentEvent(b"b")]


@pytest.mark.parametrize("tail", [b'data: {"a', b'data: {"a": 1}\n', b"event: x\ndata: y"])
def test_half_an_event_is_pending_and_only_close_gives_it(tail: bytes) -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"data: whole\n\n" + tail) == [ServerSentEvent(b"whole")]
    assert decoder.pending > 0
    rest = decoder.close()
    assert rest is not None
    assert tail.rstrip(b"\n").endswith(rest.data)
    assert decoder.pending == 0
    assert decoder.close() is None


def test_half_a_byte_order_mark_is_no_text() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"\xef") == []
    assert decoder.pending == 1
    assert decoder.feed(b"\xbb") == []
    assert decoder.feed(b"\xbfdata: a\n\n") == [ServerSentEvent(b"a")]


def test_a_stray_error_line_is_an_error_event() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b'error: {"code": 500}\n\n') == [ServerSentEvent(b'{"code": 500}', "error")]


def test_lines_that_are_no_fields_are_kept_beside() -> None:
    decoder = SSEDecoder()
    data = b'data: a\n\n{\n  "error": {"code": 499}\n}'
    assert decoder.feed(data) == [ServerSentEvent(b"a")]
    assert decoder.close() is None
    assert decoder.stray == b'{\n  "error": {"code": 499}\n}'


def test_stray_lines_are_bounded() -> None:
    decoder = SSEDecoder()
    for _ in range(100):
        decoder.feed(b"<p>" * 1000 + b"\n")
    assert len(decoder.stray) < STRAY_LIMIT + 4000


@pytest.mark.parametrize(
    "pieces",
    [[b"data: " + b"x" * 600] * 2, [b"data: " + b"x" * 100 + b"\n"] * 20, [b"data:\n" * 2000]],
    ids=["one line", "many lines", "empty lines"],
)
def test_an_endless_event_is_an_interruption(pieces: list[bytes]) -> None:
    decoder = SSEDecoder(limit=1000)

    def feed_all() -> None:
        for piece in pieces:
            decoder.feed(piece)

    with pytest.raises(StreamInterrupted) as caught:
        feed_all()
    assert caught.value.retryable
    assert "1000 bytes" in str(caught.value)


def test_long_lines_in_small_pieces_cost_linear_time() -> None:
    """A decoder that joins at every piece would copy 80 GB here."""
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    for _ in range(400_000):
        decoder.feed(b"x")
    assert len(decoder.feed(b"\n\n")[0].data) == 400_000
