"""The commands as typer shows them, but for two things.

A flag takes no value, so none is named: typer's help has `--json <bool>` for what is written
`--json`. And who gives an input without its option is told what to write.
"""

import re
from typing import Any

from typer.core import TyperGroup
from typer.exceptions import TyperException

_BARE_INPUT = re.compile(r"Got unexpected extra argument\S* \((\w[\w-]*=[^\s)]*)")


class Commands(TyperGroup):
    """Commands whose help shows flags as they are written."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that is asked for."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            command = getattr(getattr(error, "ctx", None), "command", None)
            found = _BARE_INPUT.match(getattr(error, "message", ""))
            if found and any(param.name == "inputs" for param in getattr(command, "params", ())):
                error.message += f". An input is written --input {found[1]}"
            raise

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
