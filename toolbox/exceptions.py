"""Why a tool gave no result. The text of each is fit for the model and for a person.

```text
ToolFailure          .kind: contracts.tools.ToolError
├─ ToolRaised        the tool itself says that it failed
├─ BadArguments      .errors: what does not fit, found by the tool and not by the schema
├─ ToolDied          its process ended, or its server went away, in the middle of the call
├─ ToolUnavailable   it could not be reached: nothing was begun, so trying again is harmless
└─ ToolRefused       it may not do that: outside its root, off its allow-list
```

The kinds are spelled out: importing the contracts would take most of the time in which a tool's
process starts. Running out of time is the builtin TimeoutError, raised by whoever holds the clock.
"""

from collections.abc import Sequence
from typing import ClassVar


class ToolFailure(Exception):
    """Base of all."""

    kind: ClassVar[str] = "raised"


class ToolRaised(ToolFailure):
    """The tool was run and failed."""


class BadArguments(ToolFailure):
    """The tool will not have these arguments."""

    kind = "invalid_arguments"

    def __init__(self, errors: Sequence[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("the arguments do not fit: " + "; ".join(errors))


class ToolDied(ToolFailure):
    """The tool is gone, and nobody knows how far it came."""

    kind = "died"


class ToolUnavailable(ToolFailure):
    """The tool cannot be had now."""

    kind = "unavailable"


class ToolRefused(ToolFailure):
    """The tool is kept from doing this."""

    kind = "refused"
