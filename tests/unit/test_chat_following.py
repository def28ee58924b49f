"""Following a turn: slow readers, spools that are away, and how seldom a worker is asked."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from client.absence import NoWorker
from client.chat_following import WAITING_EVENTS, Followed, Placed, follow, follow_placed
from client.chat_values import StreamTrouble, TextPart, TurnEvent
from client.watching import watch
from contracts.chats import TurnResult, TurnView
from contracts.spools import SpoolRecord
from contracts.teams import AgentStatus
from stores.exceptions import StoreUnavailable
from stores.spools import FileSpools

pytestmark = pytest.mark.unit

UNIT = "t1.1"
DONE = TurnResult(turn=1, status=AgentStatus.COMPLETED)


def delta(seq: int, text: str = "x") -> SpoolRecord:
    return SpoolRecord(
        kind="delta", agent=UNIT, attempt=1, seq=seq, offset=(seq - 1) * len(text), text=text
    )


class Turn:
    """A turn that ends when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.result: TurnResult | None = None

    async def ask(self, number: int) -> TurnView:
        assert number == 1
        self.asked += 1
        return TurnView(state="running", result=self.result)


class ScriptedSpools(FileSpools):
    """Gives out what a test says, and counts what was taken."""

    def __init__(self, folder: Path, pause_s: float = 0.0, most: int = 10**9) -> None:
        super().__init__(folder)
        self.given, self._pause_s, self.most = 0, pause_s, most
        self.away = False
        self.begun: list[int] = []

    async def follow(
        self, run_id: str, from_offset: int = 0, stop: asyncio.Event | None = None
    ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
        self.begun.append(from_offset)
        while stop is None or not stop.is_set():
            if self.away:
                raise StoreUnavailable("the place is away")
            if self.given == self.most:
                await asyncio.sleep(0.01)
                continue
            self.given += 1
            yield delta(self.given), self.given
            await asyncio.sleep(self._pause_s)


@contextlib.asynccontextmanager
async def followed(spools: ScriptedSpools, turn: Turn) -> AsyncIterator[AsyncIterator[TurnEvent]]:
    of = Followed(spools, "chat", turn.ask, 1)
    async with contextlib.aclosing(follow(of)) as events:
        yield events


async def test_a_slow_reader_leaves_the_text_in_the_spool(tmp_path: Path) -> None:
    spools, turn = ScriptedSpools(tmp_path), Turn()
    async with followed(spools, turn) as events:
        for number in range(1, 6):
            event = await anext(events)
            assert isinstance(event, TextPart)
            assert event.keep == number - 1
            await asyncio.sleep(0.02)
        assert spools.given <= WAITING_EVENTS + 10
        turn.result, spools.most = DONE, WAITING_EVENTS + 50
        rest = [event async for event in events]
    assert rest[-1] is DONE
    parts = [event for event in rest if isinstance(event, TextPart)]
    assert [part.keep for part in parts] == list(range(5, 5 + len(parts))), "text was lost"


async def test_nobody_is_asked_while_text_comes_in(tmp_path: Path) -> None:
    spools, turn = ScriptedSpools(tmp_path, pause_s=0.005), Turn()
    async with followed(spools, turn) as events:
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.9
        while loop.time() < until:
            await anext(events)
    assert turn.asked <= 2


async def test_the_end_is_asked_for_at_once_when_the_text_has_ended(tmp_path: Path) -> None:
    class Ending(ScriptedSpools):
        async def follow(
            self, run_id: str, from_offset: int = 0, stop: asyncio.Event | None = None
        ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
            yield delta(1), 1
            await asyncio.sleep(0.2)
            yield SpoolRecord(kind="ended", agent=UNIT, attempt=1, seq=2, offset=1), 2
            turn.result = DONE
            assert stop is not None
            await stop.wait()

    turn = Turn()
    async with asyncio.timeout(10), followed(Ending(tmp_path), turn) as events:
        loop = asyncio.get_running_loop()
        await anext(events)
        began = loop.time()
        assert await anext(events) is DONE
    assert loop.time() - began < 0.9


async def test_a_place_that_is_away_is_told_once_and_read_on_from_where_it_was(
    tmp_path: Path,
) -> None:
    spools, turn = ScriptedSpools(tmp_path, pause_s=0.001), Turn()
    async with asyncio.timeout(20), followed(spools, turn) as events:
        for _ in range(5):
            await anext(events)
        spools.away = True
        while not isinstance(event := await anext(events), StreamTrouble):
            pass
        assert "away" in event.why
        taken = spools.given
        await asyncio.sleep(1.2)
        spools.away = False
        assert await anext(events) == StreamTrouble("")
        again = await anext(events)
    assert isinstance(again, TextPart)
    assert again.keep == taken
    assert len(spools.begun) >= 3
    assert set(spools.begun[1:]) == {taken}


async def test_the_result_comes_though_the_spool_never_could_be_read(tmp_path: Path) -> None:
    spools, turn = ScriptedSpools(tmp_path), Turn()
    spools.away, turn.result = True, DONE
    async with asyncio.timeout(10), followed(spools, turn) as events:
        seen = [event async for event in events]
    assert seen[-1] is DONE
    assert [event for event in seen if isinstance(event, TextPart)] == []


async def test_what_a_query_fails_with_is_the_readers(tmp_path: Path) -> None:
    class Lost(Turn):
        async def ask(self, number: int) -> TurnView:
            raise LookupError("there is no such conversation")

    spools = ScriptedSpools(tmp_path, most=0)
    async with followed(spools, Lost()) as events:
        with pytest.raises(LookupError):
            await anext(events)


async def test_a_worker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    class Away(Turn):
        async def ask(self, number: int) -> TurnView:
            if self.asked == 0:
                self.asked = 1
                raise NoWorker("no worker answers")
            return await super().ask(number)

    turn = Away()
    turn.result = DONE
    async with asyncio.timeout(10), followed(ScriptedSpools(tmp_path, most=0), turn) as events:
        assert await anext(events) is DONE


async def test_watching_ends_when_it_is_closed(tmp_path: Path) -> None:
    spools, told = ScriptedSpools(tmp_path), list[str]()
    async with contextlib.aclosing(
        watch(lambda place: spools.follow("run", place), 0, told.append)
    ) as records:
        record, offset = await anext(records)
    assert (record.seq, offset) == (1, 1)
    assert told == []


async def test_watching_a_place_that_is_away_ends_when_it_is_told_to(tmp_path: Path) -> None:
    spools, told, stop = ScriptedSpools(tmp_path), list[str](), asyncio.Event()
    spools.away = True

    def troubled(why: str) -> None:
        told.append(why)
        stop.set()

    records = watch(lambda place: spools.follow("run", place, stop), 0, troubled, stop)
    async with asyncio.timeout(30):
        assert [record async for record in records] == []
    assert told == ["the place is away"]
    assert len(spools.begun) == 1


class Written(FileSpools):
    """A turn's text as it lies in a spool, of two attempts, and another turn's behind it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        first = self.open_attempt("chat", UNIT, 1)
        first.delta("given up")
        first.close()
        second = self.open_attempt("chat", UNIT, 2)
        for piece in ("It ", "stands."):
            second.delta(piece * 1000)
        second.ended()
        second.close()
        self.open_attempt("chat", "t2.1", 1).close()


async def test_all_text_is_told_before_a_result_that_is_known_already(tmp_path: Path) -> None:
    turn = Turn()
    turn.result = DONE
    async with asyncio.timeout(30):
        seen = [event async for event in follow(Followed(Written(tmp_path), "chat", turn.ask, 1))]
    text = ""
    for event in seen[:-1]:
        assert isinstance(event, TextPart)
        text = text[: event.keep] + event.added
    assert text == "It " * 1000 + "stands." * 1000
    assert seen[-1] is DONE


async def test_who_comes_back_is_told_what_came_after_his_place(tmp_path: Path) -> None:
    spools, turn = Written(tmp_path), Turn()
    turn.result = DONE

    async def told(after: int) -> list[Placed]:
        of = Followed(spools, "chat", turn.ask, 1, after=after)
        return [placed async for placed in follow_placed(of) if placed is not None]

    whole = await told(0)
    assert len(whole) >= 4
    for number, placed in enumerate(whole[:-1]):
        assert await told(placed.after) == whole[number + 1 :]
    assert await told(whole[-1].after) == whole[-1:]


async def test_silence_is_told_to_who_wants_to_know(tmp_path: Path) -> None:
    spools, turn = ScriptedSpools(tmp_path, most=1), Turn()
    of = Followed(spools, "chat", turn.ask, 1)
    async with (
        asyncio.timeout(30),
        contextlib.aclosing(follow_placed(of, idle_s=0.05)) as events,
    ):
        assert await anext(events) == Placed(TextPart(UNIT, 0, "x"), 1)
        assert await anext(events) is None
        assert await anext(events) is None
        turn.result = DONE
        while (placed := await anext(events)) is None:
            pass
        assert placed == Placed(DONE, 1)


async def test_what_reading_fails_with_is_the_readers(tmp_path: Path) -> None:
    class Broken(FileSpools):
        async def follow(
            self, run_id: str, from_offset: int = 0, stop: asyncio.Event | None = None
        ) -> AsyncGenerator[tuple[SpoolRecord, int], None]:
            yield delta(1), 1
            raise LookupError("a defect")

    events = follow(Followed(Broken(tmp_path), "chat", Turn().ask, 1))
    async with asyncio.timeout(30), contextlib.aclosing(events):
        await anext(events)
        with pytest.raises(LookupError):
            await anext(events)
