"""Tokens of an answer while it is given: whether it has used up what its caller's windows had left.

Until the vendor has counted, four characters of an answer are taken for a token, and four bytes of
a prompt; then his number counts.
"""

from client.chats import TextPart
from contracts.chats import TurnResult
from serving.errors import LIMITED, ApiError

CHARS_A_TOKEN = 4


class Meter:
    """Counts one answer. `left` are the tokens that it may use; None: as many as it likes."""

    def __init__(self, left: int | None, prompt_bytes: int) -> None:
        self._left = left
        self._prompt = prompt_bytes // CHARS_A_TOKEN
        self._chars = 0

    @property
    def used(self) -> int:
        """About how many tokens the answer has taken so far."""
        return self._prompt + self._chars // CHARS_A_TOKEN

    def over(self, part: TextPart) -> bool:
        """Count what was written; tell whether more is used than was left."""
        self._chars += len(part.added)
        return self._left is not None and self.used > self._left

    def spent(self, result: TurnResult) -> bool:
        """Tell whether the whole answer used more than was left, by the vendor's count."""
        used = result.usage.total_tokens if result.usage else 0
        return self._left is not None and used > self._left


def token_limit() -> ApiError:
    """Return what ends an answer in the middle."""
    said = "the answer has used up the tokens of its window"
    return ApiError(
        429, said, kind=LIMITED, code="token_budget_exceeded", headers={"x-should-retry": "false"}
    )
