"""The model as a client of our provider interface: for Callboard, and for the hand-written way."""

from collections.abc import AsyncIterator

from activities.clients import Clients
from benchmarks.transcripts import story
from contracts.messages import ChatChunk, ChatRequest, ToolCall, Usage
from contracts.plans import Candidate
from providers.spi import LLMClient


class StubModel(LLMClient):
    """Asks for the next entry, or says that it is done; at once."""

    provider = "stub"

    async def stream(self, req: ChatRequest) -> AsyncIterator[ChatChunk]:
        read = sum(message.role == "tool" for message in req.messages)
        path = story.next_path(req.messages[0].content, read)
        if path is None:
            yield ChatChunk(delta_text=story.answer(read))
            yield ChatChunk(finish_reason="stop", usage=Usage(*story.USAGE))
            return
        yield ChatChunk(tool_call=ToolCall(story.call_id(read), story.TOOL, {"path": path}))
        yield ChatChunk(finish_reason="tool_calls", usage=Usage(*story.USAGE))


class StubClients(Clients):
    """Gives the model, as a worker's clients give an adapter."""

    def __init__(self) -> None:
        self._model = StubModel()

    def client(self, candidate: Candidate) -> LLMClient:
        return self._model
