"""How many tokens a prompt can have, from its size in bytes.

Strict, since a token of a byte-level tokenizer is at least one byte of UTF-8: a text has no more
tokens than bytes. What vendors add around messages is covered by an allowance per request; what
an adapter adds of its own (`Candidate.overhead_tokens`) comes on top.
"""

from collections.abc import Iterable

from contracts.enclosures import FileLoad, FileRates

MESSAGE_TOKENS = 24
"""Allowance for roles and separators. Vendors document 3 to 7 tokens a message and 3 for the
answer's beginning; a step's request has at most a system text, a prompt, an earlier answer and a
request to go on or to repair, so four messages are covered at their dearest."""

REPAIR_BYTES = 512
"""Allowance for the text that shows a model what was wrong with its answer."""

COMPLAINT_BYTES = 8 * 1024
"""What is wrong with an answer: eight complaints of 200 characters and a place, in bytes."""

CONTINUE_BYTES = 512
"""Allowance for the text that asks a model to go on with an interrupted answer."""

BYTES_PER_TOKEN = 16
"""For texts of which only the tokens are known. Vocabularies hold a few longer tokens (runs of
spaces or dashes), whole texts of nothing else do not occur; a text that is longer all the same is
noticed before it is sent."""


def input_bound(prompt_bytes: int, sizes: Iterable[int]) -> int:
    """Return an upper bound of a prompt's tokens.

    `prompt_bytes` are the UTF-8 bytes of all fixed text (system, template, schemas, tools),
    `sizes` those of each value that is filled in, once per occurrence.
    """
    return prompt_bytes + sum(sizes) + MESSAGE_TOKENS


def file_bound(load: FileLoad, rates: FileRates) -> int:
    """Return an upper bound of the tokens that files beside messages take of a prompt."""
    pieces = load.images * rates.image + load.pages * rates.page + load.unpaged * rates.whole
    return pieces + load.tokens


def text_bytes(tokens: int) -> int:
    """Return how many bytes of text so many tokens hold at most in practice."""
    return tokens * BYTES_PER_TOKEN
