"""The commands as typer shows them, but for one thing: a flag takes no value, so none is named.

Typer's help has `--json <bool>` for what is written `--json`.
"""

from typing import Any

from typer.core import TyperGroup


class Commands(TyperGroup):
    """Commands whose help shows flags as they are written."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the group's own options."""
        return [bare(param) for param in super().get_params(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command by its name, or None."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            for param in [*command.params, command.get_help_option(ctx)]:
                bare(param)
        return command


def bare(param: Any) -> Any:
    """Take the value's name from a flag; return the parameter."""
    if getattr(param, "is_flag", False) and param.metavar is None:
        param.metavar = ""
    return param
