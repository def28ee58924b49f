"""Upper bounds of what a prompt can count, from sizes alone.

A token is at least one byte of UTF-8, so bytes bound tokens strictly. The sizes come from
references; no text is read.
"""

from collections.abc import Iterable

CALL_ALLOWANCE = 64
"""Tokens that vendors add around the messages of a call (role marks, separators), generously."""

REPAIR_BYTES = 256
"""The fixed text around a repair's answer and errors."""

CONTINUE_BYTES = 256
"""The fixed text that asks for the rest of an interrupted answer."""

BYTES_PER_TOKEN = 64
"""No usual vocabulary has longer tokens of text than this, runs of white space apart."""


def input_bound(prompt_bytes: int, sizes: Iterable[int]) -> int:
    """Return the most tokens that a prompt can have: its fixed bytes and its values' bytes."""
    return prompt_bytes + sum(sizes) + CALL_ALLOWANCE


def text_bytes(tokens: int) -> int:
    """Return the most bytes that an answer of so many tokens can have."""
    return tokens * BYTES_PER_TOKEN
