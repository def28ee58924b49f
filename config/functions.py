"""Is the function that a tool names there? Told from the source alone: nothing is imported.

Importing is the worker's business, in a process that may die of it. Only what can be known for
sure is refused: a file that builds its names while it runs is taken at its word.
"""

import ast
from pathlib import Path

from config.problems import ConfigError, did_you_mean
from config.yamlfile import read_text

MAX_SOURCE_BYTES = 5_000_000


def missing_function(path: Path, name: str) -> str | None:
    """Return why the file has no such function at its top, or None. Raises ConfigError."""
    text = read_text(path, MAX_SOURCE_BYTES)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        return f"{path.name}{f':{line}' if line else ''}: is no Python: {error.args[0]}"
    except RecursionError:
        return f"{path.name}: is nested too deeply"
    names, whole = _names(tree.body)
    if name in names or not whole:
        return None
    return f'{path.name} has no function "{name}".{did_you_mean(name, names)}'


def module_file(folder: Path, module: str) -> Path | None:
    """Return the file of a module that lies in the folder, or None."""
    base = folder.joinpath(*module.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _names(body: list[ast.stmt]) -> tuple[set[str], bool]:
    """Return the names bound at the top, and whether these are surely all."""
    names, whole = set[str](), True
    for statement in body:
        match statement:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names.add(statement.name)
            case ast.Import() | ast.ImportFrom():
                bound = [alias.asname or alias.name for alias in statement.names]
                names.update(bound)
                whole = whole and "*" not in bound
            case ast.Assign() | ast.AnnAssign():
                names.update(n.id for n in ast.walk(statement) if isinstance(n, ast.Name))
            case ast.Expr():
                pass
            case _:
                whole = False
    return names, whole


def checked(path: Path, name: str) -> str | None:
    """Return what is wrong with a function of a file, or None. Never raises."""
    try:
        return missing_function(path, name)
    except ConfigError as error:
        return f"{path.name}: {error.problems[0].message}"
