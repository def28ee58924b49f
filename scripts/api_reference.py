"""Writes docs/api/*.md: the public names of a few modules, from their docstrings and signatures.

    python scripts/api_reference.py

griffe reads the sources without importing them. A test makes sure that what is committed is what
the sources say.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from griffe import (
    Alias,
    Attribute,
    Class,
    Function,
    GriffeLoader,
    Module,
    Object,
    Parameter,
    ParameterKind,
)

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "api"
MODULES = (
    "providers.spi",
    "providers.router",
    "providers.exceptions",
    "providers.calls",
    "client.execution",
    "client.quality",
    "client.runs",
    "client.chat",
    "client.chats",
)

_WIDTH = 92


def pages() -> dict[str, str]:
    """Return the reference's pages by file name."""
    loader = GriffeLoader(search_paths=[ROOT], allow_inspection=False)
    for package in ("contracts", "rules", "providers", "config", "client"):
        loader.load(package)
    loader.resolve_aliases()
    modules = [loader.modules_collection[name] for name in MODULES]
    return {"README.md": _index(modules), **{f"{m.path}.md": _page(m) for m in modules}}


def _index(modules: Iterable[Module]) -> str:
    lines = ["# API reference", "", "Written from the docstrings by `make api`.", ""]
    for module in modules:
        first = _text(module).split("\n\n")[0].replace("\n", " ")
        lines.append(f"- [`{module.path}`]({module.path}.md): {first}")
    return "\n".join(lines) + "\n"


def _page(module: Module) -> str:
    blocks = [f"# {module.path}", _text(module)]
    for item in _public(module):
        blocks += _blocks(item)
    return "\n\n".join(block for block in blocks if block) + "\n"


def _public(module: Module) -> Iterator[Object]:
    """Yield what the module exports, else what it defines; in the order of the source."""
    if module.exports is not None:
        yield from (_target(module[str(name)]) for name in module.exports)
        return
    for item in module.members.values():
        if isinstance(item, Object) and not item.name.startswith("_") and item.has_docstring:
            yield item


def _target(item: Object | Alias) -> Object:
    return item.final_target if isinstance(item, Alias) else item


def _blocks(item: Object) -> Iterator[str]:
    yield f"## {item.name}{'()' if isinstance(item, Function) else ''}"
    if isinstance(item, Class):
        yield from _class(item)
    elif isinstance(item, Function):
        yield _code(_signature(item))
        yield _text(item)
    elif isinstance(item, Attribute):
        yield _code(_field(item))
        yield _text(item)


def _class(cls: Class) -> Iterator[str]:
    bases = ", ".join(str(base) for base in cls.bases)
    members = [_target(member) for member in cls.members.values()]
    init = cls.members.get("__init__")
    lines = [f"class {cls.name}({bases}):" if bases else f"class {cls.name}:"]
    lines += [f"    {_field(m)}" for m in members if isinstance(m, Attribute) and _declares(m, cls)]
    if isinstance(init, Function) and "dataclass" not in cls.labels:
        lines += [f"    {line}" for line in _signature(init).split("\n")]
    yield _code("\n".join(lines) if lines[1:] else lines[0].rstrip(":"))
    yield _text(cls)
    for member in members:
        if member.name.startswith("_") or not member.has_docstring:
            continue
        if isinstance(member, Function):
            yield f"### {member.name}()"
            yield _code(_signature(member))
            yield _text(member)
        elif isinstance(member, Attribute) and not _declares(member, cls):
            yield f"### {member.name}"
            yield _code(f"{member.name}: {member.annotation}")
            yield _text(member)


def _declares(member: Attribute, cls: Class) -> bool:
    """Tell a field of the class body from properties and from what a constructor sets."""
    init = cls.members.get("__init__")
    if member.name.startswith(("_", "model_config")) or "property" in member.labels:
        return False
    if not isinstance(init, Function) or not (init.lineno and init.endlineno and member.lineno):
        return True
    return not init.lineno <= member.lineno <= init.endlineno


def _field(item: Attribute) -> str:
    annotation = f": {item.annotation}" if item.annotation else ""
    value = f" = {item.value}" if item.value is not None else ""
    return f"{item.name}{annotation}{value}"


def _signature(function: Function) -> str:
    head = f"{'async ' if 'async' in function.labels else ''}def {function.name}("
    parts = list(_parameters(p for p in function.parameters if p.name not in ("self", "cls")))
    tail = f") -> {function.returns}" if function.returns else ")"
    line = head + ", ".join(parts) + tail
    if len(line) <= _WIDTH:
        return line
    return "\n".join([head, *(f"    {part}," for part in parts), tail])


def _parameters(parameters: Iterable[Parameter]) -> Iterator[str]:
    starred = False
    for parameter in parameters:
        if parameter.kind is ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        stars = {ParameterKind.var_positional: "*", ParameterKind.var_keyword: "**"}
        mark = stars.get(parameter.kind, "") if parameter.kind else ""
        annotation = f": {parameter.annotation}" if parameter.annotation else ""
        default = "" if mark or parameter.default is None else f" = {parameter.default}"
        starred = starred or mark == "*"
        yield f"{mark}{parameter.name}{annotation}{default}"


def _text(item: Object) -> str:
    return item.docstring.value.strip() if item.docstring else ""


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def main() -> None:
    """Write the pages; remove those of modules that are no longer listed."""
    FOLDER.mkdir(exist_ok=True)
    written = pages()
    for file in FOLDER.glob("*.md"):
        if file.name not in written:
            file.unlink()
    for name, text in written.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
