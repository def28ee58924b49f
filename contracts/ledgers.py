"""A ledger's entries as data (`rules.ledger`), for what goes on in a new history. Dollars."""

from decimal import Decimal

from contracts.base import Frozen

ZERO = Decimal(0)


class Scope(Frozen):
    """Who else answers for what a step spends: the agent whose tool it is. Dollars."""

    step: str
    limit: Decimal


class Ask(Frozen):
    """An amount that a step wants held, or holds, for an attempt. Dollars."""

    attempt_id: str
    step: str
    amount: Decimal
    step_limit: Decimal | None = None
    within: tuple[Scope, ...] = ()


class LedgerState(Frozen):
    """A ledger as data, for a run that goes on in a new history."""

    cap: Decimal
    counted: Decimal = ZERO
    served: Decimal = ZERO
    by_step: dict[str, Decimal] = {}
    below: dict[str, Decimal] = {}
    held: tuple[Ask, ...] = ()
    queue: tuple[Ask, ...] = ()
    refused: tuple[str, ...] = ()
    over_bound: tuple[str, ...] = ()
