"""Which names an expression reads, and whether they exist.

One walk over the tokens follows every chain (`agents.risk.output.filter(r, r.level > 3)`) from
its root: it knows what each comprehension variable stands for, checks fields against the JSON
Schemas of outputs, and writes down every comprehension, so that its cost can be bounded
(`rules.celcost`). It reports every problem, not the first only.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from rules.celtokens import Token, tokens
from rules.nearest import suggestion
from rules.schemas import Schema, below, problem

ATTRIBUTES = ("status", "output", "cost", "attempts")
"""What can be read of `agents.NAME`."""

RUN_ATTRIBUTES = ("cost", "elapsed")
MACROS = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
MAX_NESTING = 2
"""One comprehension inside another; a third level is refused."""

TYPES = frozenset(
    {"bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"}
)
FUNCTIONS = frozenset(
    {
        "bytes",
        "double",
        "duration",
        "dyn",
        "has",
        "int",
        "size",
        "string",
        "timestamp",
        "type",
        "uint",
    }
)
METHODS = frozenset(
    {
        "contains",
        "endsWith",
        "getDate",
        "getDayOfMonth",
        "getDayOfWeek",
        "getDayOfYear",
        "getFullYear",
        "getHours",
        "getMilliseconds",
        "getMinutes",
        "getMonth",
        "getSeconds",
        "matches",
        "size",
        "startsWith",
    }
)
_ROOTS = ("inputs", "agents", "run")
_OPENING = {"(": ")", "[": "]", "{": "}"}
_END = Token("operator", "", -1)

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and at which character of the expression."""

    message: str
    position: int


@dataclass(eq=False, slots=True)
class Walk:
    """One comprehension: over what it walks, within which other one, and what its body reads.

    The walked value is `path` of the context, or of the element of `base`; or what `made_by`
    returned; or a list of at most `literal` elements written out; or it is not known.
    """

    macro: str
    parent: "Walk | None"
    path: Path | None = None
    base: "Walk | None" = None
    made_by: "Walk | None" = None
    literal: int | None = None
    variable_uses: int = 0
    context_uses: int = 0


@dataclass(slots=True)
class _Variable:
    schema: Schema | None
    walk: Walk


@dataclass(slots=True)
class _Chain:
    """What is known of the value that a chain has come to so far (see Walk)."""

    where: str
    schema: Schema | None = None
    path: Path | None = None
    base: Walk | None = None
    made_by: Walk | None = None
    literal: int | None = None

    def step(self, key: str | int | None) -> None:
        """Go on to a field (str), an item (int), or an item that is not known (None)."""
        shown = "[…]" if key is None else f"[{key}]" if isinstance(key, int) else f".{key}"
        self.where += shown
        self.schema = below(self.schema, key)
        self.path = (*self.path, key) if self.path is not None and key is not None else None
        self.made_by = self.literal = None


@dataclass(slots=True)
class Names:
    """Reads an expression; afterwards the attributes tell what was found.

    `agents` and `inputs` are the declared names; None accepts any.
    """

    source: str
    inputs: Collection[str] | None = None
    agents: Collection[str] | None = None
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    read_agents: dict[str, None] = field(default_factory=dict)
    read_inputs: dict[str, None] = field(default_factory=dict)
    reads_run: bool = False
    roots: set[str] = field(default_factory=set)
    walks: list[Walk] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    size: int = 0
    context_uses: int = 0
    _tokens: list[Token] = field(default_factory=list)
    _at: int = 0
    _scope: dict[str, _Variable] = field(default_factory=dict)
    _inside: list[Walk] = field(default_factory=list)

    def read(self) -> "Names":
        """Walk the whole expression."""
        self._tokens = tokens(self.source)
        self.size = len(self._tokens)
        while self._at < self.size:
            self._until("")
            self._at += 1
        return self

    def _peek(self, ahead: int = 0) -> Token:
        at = self._at + ahead
        return self._tokens[at] if at < self.size else _END

    def _fail(self, message: str, token: Token) -> None:
        self.problems.append(Problem(message, token.position))

    def _until(self, closing: str) -> None:
        """Read values up to a closing bracket, which is left in place."""
        while (token := self._peek()) is not _END:
            if token.text == closing and token.kind == "operator":
                return
            if token.kind == "name":
                self._root(token)
            elif token.kind == "string":
                self._at += 1
                self._follow(_Chain("this text"))
            elif token.kind == "operator" and token.text in _OPENING:
                begin = self._at
                self._bracket()
                size = self._at - begin if token.text != "(" else None
                self._follow(_Chain("this value", literal=size))
            else:
                self._absolute(token)
                self._at += 1

    def _absolute(self, token: Token) -> None:
        if token.text == "." and self._peek(1).kind == "name":
            self._fail(f"CEL: a name cannot begin with a dot: .{self._peek(1).text}", token)

    def _bracket(self) -> None:
        """Read from an opening bracket to behind its closing one."""
        closing = _OPENING[self._peek().text]
        self._at += 1
        self._until(closing)
        self._at += 1

    def _root(self, token: Token) -> None:
        """Read a chain from the name that it begins with."""
        name, follows = token.text, self._peek(1).text
        if follows == "(" and self._peek(1).kind == "operator":
            self._call(token)
            return
        self._at += 1
        self.roots.add(name)
        if name in self._scope:
            variable = self._scope[name]
            variable.walk.variable_uses += 1
            self._follow(_Chain(name, variable.schema, (), base=variable.walk))
            return
        if name in _ROOTS:
            self.context_uses += 1
            for walk in self._inside:
                walk.context_uses += 1
            chain = {"agents": self._agent, "inputs": self._input, "run": self._run}[name](token)
            self._follow(chain)
            return
        if name not in TYPES:
            have = ", ".join([*_ROOTS, *self._scope])
            self._fail(f'CEL: undeclared reference to "{name}" (have: {have})', token)
        if follows == "{":
            self._skip_brackets()
        reported = len(self.problems)
        self._follow(_Chain(name))
        if name not in TYPES:
            del self.problems[reported:]

    def _skip_brackets(self) -> None:
        """Leave out a message's fields: `Type{field: 1}` is refused as a whole."""
        depth = 0
        while (token := self._peek()) is not _END:
            self._at += 1
            if token.kind == "operator":
                depth += (token.text in _OPENING) - (token.text in _OPENING.values())
                if depth == 0:
                    return

    def _call(self, token: Token) -> None:
        if token.text not in FUNCTIONS:
            self._unknown_function(token, FUNCTIONS)
        self._at += 1
        self._bracket()
        self._follow(_Chain(f"{token.text}(…)"))

    def _unknown_function(self, token: Token, known: Collection[str]) -> None:
        everything = FUNCTIONS | METHODS | MACROS
        if token.text in everything:
            is_method = token.text not in FUNCTIONS
            form = f"x.{token.text}(…)" if is_method else f"{token.text}(x)"
            self._fail(f"CEL: write {form}", token)
            return
        hint = f".{suggestion(token.text, everything)}"
        if hint == ".":
            hint = f" (have: {', '.join(sorted(known))})"
        self._fail(f'CEL: no function named "{token.text}"{hint}', token)

    def _key(self) -> str | None:
        """Take `.name` or `["name"]`, or nothing where something else follows."""
        dot, name, after = self._peek(), self._peek(1), self._peek(2)
        if dot.text == "." and name.kind in ("name", "keyword") and after.text != "(":
            self._at += 2
            return name.text
        if dot.text == "[" and name.kind == "string" and after.text == "]":
            self._at += 3
            return name.string
        return None

    def _agent(self, token: Token) -> _Chain:
        """Read `agents.NAME.ATTRIBUTE`."""
        name = self._key()
        if name is None:
            self._fail('CEL: "agents" is not a value: name the step, as agents.NAME.output', token)
            return _Chain("agents")
        self.read_agents[name] = None
        where = f"agents.{name}"
        if self.agents is not None and name not in self.agents:
            self._fail(_unknown("step", name, self.agents), token)
        attribute = self._key()
        if attribute is None:
            self._fail(f"CEL: write one of {_each(where, ATTRIBUTES)}", token)
            return _Chain(where)
        if attribute not in ATTRIBUTES:
            hint = suggestion(attribute, ATTRIBUTES)
            have = f" (have: {', '.join(ATTRIBUTES)}).{hint}".rstrip(".")
            self._fail(f'CEL: {where} has no "{attribute}"{have}', token)
            return _Chain(f"{where}.{attribute}")
        schema = self.schemas.get(name) if attribute == "output" else None
        return _Chain(f"{where}.{attribute}", schema, ("agents", name, attribute))

    def _input(self, token: Token) -> _Chain:
        """Read `inputs.NAME`."""
        name = self._key()
        if name is None:
            self._fail('CEL: "inputs" is not a value: name the input, as inputs.NAME', token)
            return _Chain("inputs")
        self.read_inputs[name] = None
        if self.inputs is not None and name not in self.inputs:
            self._fail(_unknown("input", name, self.inputs), token)
        return _Chain(f"inputs.{name}", None, ("inputs", name))

    def _run(self, token: Token) -> _Chain:
        """Read `run.cost` or `run.elapsed`."""
        self.reads_run = True
        name = self._key()
        if name not in RUN_ATTRIBUTES:
            self._fail(f"CEL: write one of {_each('run', RUN_ATTRIBUTES)}", token)
        return _Chain(f"run.{name}")

    def _follow(self, chain: _Chain) -> None:
        """Read the fields, items and calls that follow a value."""
        while True:
            token = self._peek()
            if token.kind != "operator" or token.text not in (".", "["):
                return
            name, after = self._peek(1), self._peek(2)
            if token.text == "." and after.text == "(" and after.kind == "operator":
                self._at += 1
                chain = self._method(name, chain)
                continue
            key: str | int | None = self._key()
            if key is None and token.text == ".":
                return
            if key is None:
                is_index = name.kind == "number" and name.text.isdigit() and after.text == "]"
                key = int(name.text) if is_index else None
                self._bracket()
            self._read_key(chain, key, token)

    def _read_key(self, chain: _Chain, key: str | int | None, token: Token) -> None:
        """Step from a value to its field or item."""
        if not (isinstance(key, int | None) and chain.schema is not None):
            said = problem(chain.schema, key, chain.where)
            if said is not None:
                self._fail(f"CEL: {said}", token)
        chain.step(key)

    def _method(self, token: Token, chain: _Chain) -> _Chain:
        """Read `.name(…)` behind a value; the position is at the name."""
        variable = self._peek(2)
        is_macro = token.text in MACROS and variable.kind == "name" and self._peek(3).text == ","
        if is_macro:
            return self._comprehension(token, variable, chain)
        if token.text not in METHODS:
            self._unknown_function(token, METHODS)
        self._at += 1
        self._bracket()
        return _Chain(f"{chain.where}.{token.text}(…)")

    def _comprehension(self, token: Token, variable: Token, chain: _Chain) -> _Chain:
        """Read a comprehension's body with its variable in scope."""
        parent = self._inside[-1] if self._inside else None
        walk = Walk(token.text, parent, chain.path, chain.base, chain.made_by, chain.literal)
        self.walks.append(walk)
        if len(self._inside) == MAX_NESTING:
            self._fail(
                f"CEL: {token.text} is nested {MAX_NESTING + 1} deep: "
                "one comprehension inside another is the most",
                token,
            )
        if variable.text in _ROOTS:
            self._fail(f'CEL: a comprehension variable cannot be called "{variable.text}"', token)
        outer = self._scope
        self._scope = {**outer, variable.text: _Variable(below(chain.schema, None), walk)}
        self._inside.append(walk)
        self._at += 4
        self._until(")")
        self._at += 1
        self._inside.pop()
        self._scope = outer
        made = _Chain(f"{chain.where}.{token.text}(…)", made_by=walk)
        made.schema = chain.schema if token.text == "filter" else None
        return made


def _unknown(what: str, name: str, known: Collection[str]) -> str:
    return f'no {what} named "{name}".{suggestion(name, known)}'.removesuffix(".")


def _each(where: str, attributes: Collection[str]) -> str:
    return ", ".join(f"{where}.{attribute}" for attribute in attributes)
