"""How a process that we start knows that it is to end with us."""

PARENT_VARIABLE = "CALLBOARD_EXIT_WITH_PARENT"
"""The environment variable that names the parent's process id."""
