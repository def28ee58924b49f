"""Streams as hostile vendors write them, with what an adapter has to make of each.

After the vendors' public documentation, their SDKs' types and reports of what servers send. One
module an API; `framing` is about bytes and holds for all of them.
"""

from tests.wire.hostile.anthropic import ANTHROPIC
from tests.wire.hostile.chat import CHAT
from tests.wire.hostile.chat_calls import CHAT_CALLS
from tests.wire.hostile.framing import FRAMING
from tests.wire.hostile.gemini import GEMINI
from tests.wire.hostile.responses import RESPONSES
from tests.wire.hostile.stream import Hostile

STREAMS: tuple[Hostile, ...] = (*CHAT, *CHAT_CALLS, *RESPONSES, *ANTHROPIC, *GEMINI, *FRAMING)
