"""The version of Callboard, as pyproject.toml has it (a test compares the two)."""

VERSION = "0.1.0"
