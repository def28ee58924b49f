"""What callers and models have used, in a small database, so that a restart forgets nothing.

Promises: whoever is admitted holds a reservation, in tokens and in money, until what it really took
is settled; what is spent and what is held together never pass a limit of money; a request that is
repeated under its id is admitted once. Several processes of one machine may share the file.

Strategy: one row per request, by caller and model. While a request is open its row has what was
reserved and counts, however old it is; once it is settled it has what was used, at the moment when
that was known. A window is the sum of the rows in it, so it slides. Every decision is one
transaction. Money is integer nano-dollars.

Of tokens nobody knows beforehand how many an answer takes: a request passes while less than the
limit is used and held, and the one that crosses the limit is told so (`Admitted.tokens_left`).
"""

import asyncio
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_FLOOR, ROUND_UP, Decimal
from pathlib import Path

from serving.callers import Limits

MINUTE, DAY = 60.0, 86_400.0
MONTH = 30 * DAY
KEPT = MONTH + DAY
"""Seconds for which settled rows are kept; what was spent in all is kept for ever."""

NANO = Decimal(10**9)

_TABLES = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, model TEXT NOT NULL, asked REAL NOT NULL,
    spent REAL NOT NULL, open INTEGER NOT NULL, tokens INTEGER NOT NULL, nano INTEGER NOT NULL,
    chat TEXT NOT NULL, request TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS of_caller ON requests (caller, spent);
CREATE INDEX IF NOT EXISTS of_model ON requests (model, spent);
CREATE INDEX IF NOT EXISTS still_open ON requests (open) WHERE open;
CREATE TABLE IF NOT EXISTS totals (
    scope TEXT NOT NULL, name TEXT NOT NULL, nano INTEGER NOT NULL, PRIMARY KEY (scope, name)
);
"""


@dataclass(frozen=True)
class Ask:
    """A request to be admitted. `tokens` and `usd` are what it may take.

    `least_usd` is without what it cannot be served; it is given as much of `usd` as there is.
    `chat` and `request` are where its end can be asked for.
    """

    id: str
    caller: str
    model: str
    tokens: int
    usd: Decimal
    least_usd: Decimal
    chat: str
    request: str = ""


@dataclass(frozen=True)
class Admitted:
    """A request may be made, for `usd` at most. `known`: it was admitted before.

    `tokens_left` were left in the tightest window of tokens; None where there is no such window.
    """

    usd: Decimal
    tokens_left: int | None = None
    known: bool = False


@dataclass(frozen=True)
class Refused:
    """A request may not be made now. `measure` is requests, tokens or usd.

    `retry_s` is when the window will have room for another; None where waiting does not help.
    """

    measure: str
    message: str
    retry_s: float | None


@dataclass(frozen=True)
class Open:
    """A request whose end is not written down yet."""

    id: str
    chat: str
    request: str


@dataclass(frozen=True)
class Scope:
    """Whose limits: a caller's or a model's. `column` is never a caller's text."""

    column: str
    name: str
    limits: Limits

    def told(self) -> str:
        """Name it to a caller."""
        return f"this key ({self.name})" if self.column == "caller" else f"model {self.name}"


class Accounting(ABC):
    """Admits requests and keeps what they took; `serving.redis_windows` does it for machines."""

    @abstractmethod
    async def admit(self, ask: Ask, caller: Limits, model: Limits) -> Admitted | Refused:
        """Admit a request and hold what it may take, or say why not."""

    @abstractmethod
    async def settle(self, id: str, tokens: int, usd: Decimal) -> None:
        """Write down what a request really took. Settling twice changes nothing."""

    @abstractmethod
    async def settle_held(self, id: str) -> None:
        """Let all that was held count: nobody knows what the request really took."""

    @abstractmethod
    async def release(self, id: str) -> None:
        """Give back a request that was not made: it does not count at all."""

    @abstractmethod
    async def still_open(self) -> list[Open]:
        """Return the requests whose end is not written down, the oldest first."""

    @abstractmethod
    async def spent(self, caller: str) -> Decimal:
        """Return what a caller has spent and holds, in dollars."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of what keeps them. Safe to repeat."""


class Windows(Accounting):
    """The database. `clock` counts seconds since the epoch."""

    def __init__(self, path: Path | str, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_TABLES)
        if path != ":memory:":
            Path(path).chmod(0o600)

    async def admit(self, ask: Ask, caller: Limits, model: Limits) -> Admitted | Refused:
        scopes = (Scope("caller", ask.caller, caller), Scope("model", ask.model, model))
        return await asyncio.to_thread(self._admit, ask, scopes)

    async def settle(self, id: str, tokens: int, usd: Decimal) -> None:
        await asyncio.to_thread(self._settle, id, tokens, nano(usd, ROUND_UP))

    async def settle_held(self, id: str) -> None:
        await asyncio.to_thread(self._settle, id, None, None)

    async def release(self, id: str) -> None:
        await asyncio.to_thread(self._release, id)

    async def still_open(self) -> list[Open]:
        return await asyncio.to_thread(self._still_open)

    async def spent(self, caller: str) -> Decimal:
        return await asyncio.to_thread(self._spent_in_all, caller)

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Safe to repeat."""
        with self._lock:
            self._db.close()

    # one transaction each, in a thread

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _admit(self, ask: Ask, scopes: tuple[Scope, ...]) -> Admitted | Refused:
        now = self._clock()
        with self._transaction() as db:
            row = db.execute("SELECT nano FROM requests WHERE id = ?", (ask.id,)).fetchone()
            if row is not None:
                return Admitted(Decimal(row[0]) / NANO, known=True)
            tokens_left: list[int] = []
            room = [nano(ask.usd, ROUND_FLOOR)]
            for scope in scopes:
                refused = self._refused(db, scope, now, tokens_left)
                if refused is not None:
                    return refused
                found = self._room(db, scope, now)
                if found is not None:
                    left, told = found
                    if left < nano(ask.least_usd, ROUND_UP):
                        return out_of_money(scope, told, left, ask)
                    room.append(left)
            held = min(room)
            db.execute(
                "INSERT INTO requests VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)",
                (ask.id, ask.caller, ask.model, now, now, ask.tokens, held, ask.chat, ask.request),
            )
            db.execute("DELETE FROM requests WHERE NOT open AND spent < ?", (now - KEPT,))
            return Admitted(Decimal(held) / NANO, min(tokens_left, default=None))

    def _refused(
        self, db: sqlite3.Connection, scope: Scope, now: float, tokens_left: list[int]
    ) -> Refused | None:
        """Return why requests or tokens are used up; note the tokens that are left."""
        limits = scope.limits
        for name, limit, window in (
            ("requests_per_minute", limits.requests_per_minute, MINUTE),
            ("requests_per_day", limits.requests_per_day, DAY),
        ):
            if limit and (wait := self._wait_for_request(db, scope, limit, window, now)):
                return requests_refused(scope, name, limit, wait)
        for name, limit, window in (
            ("tokens_per_minute", limits.tokens_per_minute, MINUTE),
            ("tokens_per_day", limits.tokens_per_day, DAY),
        ):
            if not limit:
                continue
            used, oldest = self._sum(db, scope, "tokens", now - window)
            if used >= limit:
                return tokens_refused(scope, name, limit, used, max(oldest + window - now, 1.0))
            tokens_left.append(limit - used)
        return None

    def _wait_for_request(
        self, db: sqlite3.Connection, scope: Scope, limit: int, window: float, now: float
    ) -> float:
        """Return the seconds until one more request may be made; 0.0 for now."""
        row = db.execute(
            f"SELECT asked FROM requests WHERE {scope.column} = ? AND asked > ?"
            " ORDER BY asked DESC LIMIT 1 OFFSET ?",
            (scope.name, now - window, limit - 1),
        ).fetchone()
        return max(float(row[0]) + window - now, 0.001) if row else 0.0

    def _room(
        self, db: sqlite3.Connection, scope: Scope, now: float
    ) -> tuple[int, tuple[str, Decimal, float | None]] | None:
        """Return the nano-dollars that are left in the tightest window of money, and which it is.

        That window is (its name, its limit, the seconds until its oldest amount leaves it).
        """
        limits = scope.limits
        found: list[tuple[int, tuple[str, Decimal, float | None]]] = []
        for name, limit, window in (
            ("usd_per_day", limits.usd_per_day, DAY),
            ("usd_per_month", limits.usd_per_month, MONTH),
        ):
            if limit:
                used, oldest = self._sum(db, scope, "nano", now - window)
                wait = max(oldest + window - now, 1.0)
                found.append((nano(limit, ROUND_FLOOR) - used, (name, limit, wait)))
        if limits.usd_total:
            used = self._total(db, scope)
            left = nano(limits.usd_total, ROUND_FLOOR) - used
            found.append((left, ("usd_total", limits.usd_total, None)))
        return min(found, key=lambda one: one[0], default=None)

    def _sum(
        self, db: sqlite3.Connection, scope: Scope, what: str, since: float
    ) -> tuple[int, float]:
        """Return a window's sum, what is held included, and when the oldest of it was spent."""
        row = db.execute(
            f"SELECT COALESCE(SUM({what}), 0), MIN(spent) FROM requests"
            f" WHERE {scope.column} = ? AND (open OR spent > ?) AND {what} > 0",
            (scope.name, since),
        ).fetchone()
        return int(row[0]), float(row[1] if row[1] is not None else since)

    def _total(self, db: sqlite3.Connection, scope: Scope) -> int:
        spent = db.execute(
            "SELECT nano FROM totals WHERE scope = ? AND name = ?", (scope.column, scope.name)
        ).fetchone()
        held = db.execute(
            f"SELECT COALESCE(SUM(nano), 0) FROM requests WHERE {scope.column} = ? AND open",
            (scope.name,),
        ).fetchone()
        return (int(spent[0]) if spent else 0) + int(held[0])

    def _settle(self, id: str, tokens: int | None, nano: int | None) -> None:
        now = self._clock()
        with self._transaction() as db:
            row = db.execute(
                "UPDATE requests SET open = 0, tokens = COALESCE(?, tokens),"
                " nano = COALESCE(?, nano), spent = ?"
                " WHERE id = ? AND open RETURNING caller, model, nano",
                (tokens, nano, now, id),
            ).fetchone()
            if row is None:
                return
            for scope, name in (("caller", row[0]), ("model", row[1])):
                db.execute(
                    "INSERT INTO totals VALUES (?, ?, ?) ON CONFLICT (scope, name)"
                    " DO UPDATE SET nano = nano + excluded.nano",
                    (scope, name, row[2]),
                )

    def _release(self, id: str) -> None:
        with self._transaction() as db:
            db.execute("DELETE FROM requests WHERE id = ? AND open", (id,))

    def _still_open(self) -> list[Open]:
        with self._transaction() as db:
            rows = db.execute(
                "SELECT id, chat, request FROM requests WHERE open ORDER BY asked"
            ).fetchall()
        return [Open(*row) for row in rows]

    def _spent_in_all(self, caller: str) -> Decimal:
        with self._transaction() as db:
            return Decimal(self._total(db, Scope("caller", caller, Limits()))) / NANO


def requests_refused(scope: Scope, name: str, limit: int, wait: float) -> Refused:
    """Return what is said where a window of requests is full."""
    said = f"{scope.told()} may make {limit:,} requests ({name})"
    return Refused("requests", said, wait)


def tokens_refused(scope: Scope, name: str, limit: int, used: int, wait: float) -> Refused:
    """Return what is said where a window of tokens is used up."""
    said = f"{scope.told()} may use {limit:,} tokens ({name}), {used:,} are used"
    return Refused("tokens", said, wait)


def nano(usd: Decimal, rounding: str) -> int:
    """Return dollars as nano-dollars."""
    return int((usd * NANO).to_integral_value(rounding=rounding))


def out_of_money(
    scope: Scope, told: tuple[str, Decimal, float | None], left: int, ask: Ask
) -> Refused:
    """Return what is said where a window of money has no room for a request."""
    name, limit, wait = told
    rest = max(Decimal(left) / NANO, Decimal(0)).normalize()
    said = (
        f"{scope.told()} may spend ${limit} ({name}): ${rest:f} is left, "
        f"the request may cost ${ask.least_usd:f}"
    )
    return Refused("usd", said, wait)
