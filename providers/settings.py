"""What a client is made with, looked at when it is made and not within its first call."""

from providers.timeouts import Timeouts


def checked_model(model: str) -> str:
    """Return a model's name. Raises `ValueError` for what cannot be one."""
    if not isinstance(model, str):
        raise ValueError(f"model must be a model's name, not {type(model).__name__}")
    if not model or any(c.isspace() for c in model):
        raise ValueError(f"model must be a name without white space, not {model[:64]!r}")
    return model


def checked_timeout(timeout: float | None) -> float | None:
    """Return the seconds for a whole call. Raises `ValueError` for what is no positive number."""
    return None if timeout is None else Timeouts.of(timeout).total


def checked_count(name: str, number: int) -> int:
    """Return a number of things at once. Raises `ValueError` unless it is at least 1."""
    if number < 1:
        raise ValueError(f"{name} must be at least 1, not {number}")
    return number
