"""Errors of routing and of providers.

```text
ExecutionPlatformError
├─ RouterError                    configuration, persona, capability
│  ├─ PersonaNotFoundError        also ValueError
│  └─ NoProviderError             also ValueError; names what each provider lacks
├─ ProviderError                  .kind .retryable .retry_after .usage .partial_text …
│  │     final:
│  ├─ AuthenticationFailed  InvalidRequest  ModelNotFound  ContextTooLong  ContentRefused
│  ├─ Unavailable                 no key, package or program: nothing was sent
│  │     retryable:
│  └─ RateLimited  Overloaded  ServerFailed  Unreachable  StreamInterrupted
└─ TimeoutError                   also builtins.TimeoutError; which of first_token, idle, total
```

Each adapter maps its SDK's errors here, in one place. No message ever holds a key or a prompt.
"""

import builtins
from typing import ClassVar, Literal

from contracts.messages import Usage


class ExecutionPlatformError(Exception):
    """Base of everything that the provider layer raises on purpose."""


class RouterError(ExecutionPlatformError):
    """The policy, a persona or a capability is not as it should be."""


class PersonaNotFoundError(RouterError, ValueError):
    """The persona is not defined in the policy."""


class NoProviderError(RouterError, ValueError):
    """The persona is defined, but nobody fits; the text says what each provider lacks."""


class ProviderError(ExecutionPlatformError):
    """A provider failed, or could not be asked.

    `retry_after` is in seconds. `usage` is what the vendor reported before the end (None:
    nothing); `usage_final` says that it is the whole. `partial_text` is the answer so far.
    `sent` False means that no request left this process.
    """

    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        usage: Usage | None = None,
        usage_final: bool = False,
        partial_text: str = "",
        provider: str = "",
        model: str = "",
        status: int | None = None,
        code: str | None = None,
        response_id: str | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.usage = usage
        self.usage_final = usage_final
        self.partial_text = partial_text
        self.provider = provider
        self.model = model
        self.status = status
        self.code = code
        self.response_id = response_id
        self.sent = sent

    @property
    def kind(self) -> str:
        """The error's class name: what retry rules and bills call it."""
        return type(self).__name__


class AuthenticationFailed(ProviderError):
    """The key is missing, wrong, or may not do this."""


class InvalidRequest(ProviderError):
    """The provider, or its adapter, refuses the request as it is."""


class ModelNotFound(ProviderError):
    """No such model for this key."""


class ContextTooLong(ProviderError):
    """Prompt and answer do not fit the model's window."""


class ContentRefused(ProviderError):
    """The provider's policy refuses the prompt or the answer."""


class Unavailable(ProviderError):
    """The provider cannot be used in this process; the text names the cure. Nothing was sent."""

    def __init__(self, message: str, *, provider: str = "", model: str = "") -> None:
        super().__init__(message, provider=provider, model=model, sent=False)


class RateLimited(ProviderError):
    """Too many requests or tokens; `retryable` is False where a quota or spend limit is used up."""

    default_retryable = True


class Overloaded(ProviderError):
    """The provider is busy."""

    default_retryable = True


class ServerFailed(ProviderError):
    """The provider broke."""

    default_retryable = True


class Unreachable(ProviderError):
    """No connection: refused, DNS, TLS, reset before an answer."""

    default_retryable = True


class StreamInterrupted(ProviderError):
    """The answer stopped before its terminal marker."""

    default_retryable = True


class TimeoutError(ExecutionPlatformError, builtins.TimeoutError):
    """The provider took too long; `which` clock ran out, after `seconds`."""

    retryable = True
    retry_after: float | None = None

    def __init__(
        self,
        message: str,
        *,
        which: Literal["first_token", "idle", "total"] = "total",
        seconds: float = 0.0,
        usage: Usage | None = None,
        partial_text: str = "",
        provider: str = "",
        model: str = "",
        response_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.which = which
        self.seconds = seconds
        self.usage = usage
        self.usage_final = False
        self.partial_text = partial_text
        self.provider = provider
        self.model = model
        self.status: int | None = None
        self.response_id = response_id
        self.sent = True

    @property
    def kind(self) -> str:
        """Always "Timeout"."""
        return "Timeout"
