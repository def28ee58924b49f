"""A conversation that is sealed with a key that is not here is not said to have no worker."""

from typing import Any

import pytest

from client.chats import Chat
from client.runs import NoWorker
from contracts.chats import ChatView
from stores.exceptions import WrongKey

pytestmark = pytest.mark.unit


class Described:
    async def memo(self) -> dict[str, Any]:
        raise WrongKey("sealed with the key 'KEY_A', which is not configured (only KEY_B)")


class Handle:
    async def describe(self, **_: Any) -> Described:
        return Described()


class Sealed(Chat):
    """Its worker, which lacks the key, leaves its queries alone."""

    def __init__(self) -> None:
        self.chat_id = "c-1"

    @property
    def handle(self) -> Any:
        return Handle()

    async def view(self) -> ChatView:
        raise NoWorker("no worker answers")


async def test_the_key_is_named() -> None:
    with pytest.raises(WrongKey, match="KEY_A"):
        await Sealed().active()
