"""Keeps prompts and passwords out of the logs that the vendors' SDKs write.

At DEBUG they log whole request bodies, and at INFO the HTTP library logs addresses, which may
hold a password. Their loggers are raised above that when an adapter is set up, whatever the
process's level and OPENAI_LOG or ANTHROPIC_LOG say. A program that lowers one of them after that,
by its name, does so knowingly.

Google's SDK also says at every call, at INFO, that it may call functions by itself. It may not
(`providers.gemini_adapter`), so that line is left out.
"""

import logging

_LEVELS = {
    "openai": logging.INFO,
    "anthropic": logging.INFO,
    "google_genai": logging.INFO,
    "google_genai.models": logging.WARNING,
    "claude_agent_sdk": logging.INFO,
    "httpx2": logging.WARNING,
    "httpcore2": logging.INFO,
}


def hush_sdks() -> None:
    """Raise the SDKs' loggers to levels at which they write no prompt. Cheap; call it again."""
    for name, level in _LEVELS.items():
        logger = logging.getLogger(name)
        if logger.level < level:
            logger.setLevel(level)
