"""What a function tool may ask for: annotate a parameter with `ToolContext`.

```python
from toolbox.context import ToolContext

def book(flight: str, context: ToolContext) -> str:
    context.progress("asking the airline", 0.2)
    return airline.book(flight, idempotency_key=context.idempotency_key)
```

The model does not see that parameter. A parameter called `idempotency_key` is filled in the same
way, so that a tool needs nothing of ours to be safe to repeat.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


def _untold(message: str, fraction: float | None) -> None:
    """Nobody listens: the tool is called by a test, perhaps."""


@dataclass(frozen=True)
class ToolContext:
    """One call of a tool.

    `idempotency_key` is the same in every try of this call, and in no other call. `attempt`
    counts the tries from 1. `session_id` is the chat or run. All have defaults, so that a tool
    can be tested with a bare `ToolContext()`.
    """

    idempotency_key: str = ""
    session_id: str = ""
    call_id: str = ""
    attempt: int = 1
    tell: Callable[[str, float | None], None] = field(default=_untold, repr=False)

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Tell viewers how far the work is; `fraction` from 0 to 1. Never raises."""
        self.tell(str(message), fraction)
