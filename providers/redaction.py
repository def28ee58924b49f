"""Takes keys and prompts out of texts that errors and logs will show.

Strategy: known secrets by value, unknown ones by the shape that vendors give their keys; of the
prompt every run of characters that the text has in common with it.
"""

import re
from collections.abc import Iterable

TEXT_CHARS = 400
"""Characters of a vendor's message that are kept."""

RUN_CHARS = 24
"""A run of this many characters in common with the prompt is taken for a quotation of it."""

_WHOLE_CHARS = 8
_KEYS = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|r8|hf|pplx|csk|nvapi|fw|tgp)[-_][A-Za-z0-9_*.\-]{3,}"
    r"|\bAIza[\w\-]{8,}|\bAQ\.[\w\-]{8,}|\bya29\.[\w\-]+|\beyJ[\w\-]{8,}\.[\w.\-]+"
    r"|\b(?:Bearer|Basic)\s+[A-Za-z0-9+/=_.~\-]{4,}"
    r"|(?<=[?&])(?:key|api_key|apikey|token)=[^\s&]+"
    r"|(?:x-api-key|x-goog-api-key|api[-_]key)[\"']?\s*[:=]\s*[\"']?[^\s\"',}]{6,}",
    re.I,
)


def redact(text: str, secrets: Iterable[str] = (), private: Iterable[str] = ()) -> str:
    """Return `text` on one line, trimmed, without keys and without quotations of `private`."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, "[key]")
    text = " ".join(_KEYS.sub("[key]", text[: 4 * TEXT_CHARS]).split())
    for prompt in private:
        text = _without(text, prompt)
    return text if len(text) <= TEXT_CHARS else text[:TEXT_CHARS].rstrip() + "…"


def _without(text: str, prompt: str) -> str:
    """Replace what `text` quotes of `prompt`: all of a short one, long runs of a long one."""
    prompt = " ".join(prompt.split())
    if len(prompt) >= _WHOLE_CHARS:
        text = text.replace(prompt, "[prompt]")
    if len(prompt) < RUN_CHARS:
        return text
    kept: list[str] = []
    at = 0
    while at < len(text):
        length = _run(text, at, prompt)
        kept.append("[prompt]" if length else text[at])
        at += length or 1
    return "".join(kept)


def _run(text: str, at: int, prompt: str) -> int:
    """Length of the longest piece of `prompt` that `text` has at `at`; 0 below RUN_CHARS."""
    if text[at : at + RUN_CHARS] not in prompt or at + RUN_CHARS > len(text):
        return 0
    length = RUN_CHARS
    while at + length < len(text) and text[at : at + length + 1] in prompt:
        length += 1
    return length
