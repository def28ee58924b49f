"""Tools as the agent file declares them, one model for each `type`.

Arguments of a tool are given in a short form (`parameters`, all required but those whose name
ends in "?") or as a JSON Schema (`schema`); a function's come from its type hints and docstring,
an MCP server's from its listing.
"""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Strict, WithJsonSchema, model_validator

from config.filemodel import FileModel
from config.teammodel import FieldSpelling
from config.teamtypes import (
    Dollars,
    FilledText,
    Flag,
    Number,
    Schema,
    Seconds,
    Text,
    Whole,
)
from contracts.base import Json
from contracts.tools import MODEL_CHARS, Approval, Effect

TOOL_NAME = r"^[A-Za-z0-9_-]{1,64}$"
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


def _tool_name(name: str) -> str:
    if not re.fullmatch(TOOL_NAME, name):
        raise ValueError(f'"{name}" is no name of a tool: letters, digits, _ and -, 64 at most')
    return name


def _queue_name(name: str) -> str:
    if not re.fullmatch(TOOL_NAME, name):
        raise ValueError(f'"{name}" is no name of a queue: letters, digits, _ and -, 64 at most')
    return name


def _variable(name: str) -> str:
    if not _VARIABLE.match(name):
        raise ValueError(
            f'"{name}" is no name of an environment variable: name it here, its value stays in'
            " the worker's environment"
        )
    return name


def _callable(text: str) -> str:
    module, colon, function = text.rpartition(":")
    parts = [*module.split("."), function] if colon else [function]
    if not all(part.isidentifier() for part in parts):
        raise ValueError(f'"{text}" is no function: write module:function, or file and function')
    return text


def _host(text: str) -> str:
    if not re.fullmatch(r"(\*\.)?[A-Za-z0-9_.\-\[\]:]+", text) or "//" in text:
        raise ValueError(f'"{text}" is no host: write api.example.org or *.example.org')
    return text.lower()


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a http or https URL")
    if "{" in parts.netloc:
        raise ValueError("may have {parameters} in its path and query, never in its host")
    if parts.username is not None:
        raise ValueError("must have no user and password: give a header with a secret")
    return text


ToolNameText = Annotated[
    str,
    Strict(),
    AfterValidator(_tool_name),
    WithJsonSchema({"type": "string", "pattern": TOOL_NAME}),
]
QueueName = Annotated[
    str,
    Strict(),
    AfterValidator(_queue_name),
    WithJsonSchema({"type": "string", "pattern": TOOL_NAME}),
]
Secret = Annotated[
    str,
    Strict(),
    AfterValidator(_variable),
    WithJsonSchema({"type": "string", "pattern": _VARIABLE.pattern}),
]
Host = Annotated[str, Strict(), AfterValidator(_host)]
HttpUrl = Annotated[FilledText, AfterValidator(_http_url)]


class ToolBaseFile(FileModel):
    """What all tools have."""

    name: ToolNameText
    description: Text = Field("", description="For the model.")
    effect: Effect = Field(
        "unsafe", description="What doing it twice does: nothing, the same, or nobody knows."
    )
    approval: Approval = Field("never", description="Which calls wait for a person.")
    critical: Flag = Field(False, description="A failure ends the turn.")
    timeout: Seconds = Field(30.0, description="Seconds of one try.")
    attempts: Whole = Field(2, ge=1, le=10, description="Tries, unless it is unsafe.")
    queue: QueueName | None = Field(None, description="The group of workers that runs it.")
    secrets: list[Secret] = Field([], description="Variables of the worker that it may see.")
    max_chars: Whole = Field(MODEL_CHARS, ge=100, description="Of a result, for the model.")


class DeclaredArguments(FileModel):
    """Arguments in one of two forms."""

    parameters: dict[str, FieldSpelling] | None = Field(
        None, description='Short form; a name that ends in "?" may be left out.'
    )
    schema_: Schema | None = Field(None, alias="schema", description="JSON Schema of an object.")

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.parameters is not None and self.schema_ is not None:
            raise ValueError("give either parameters or schema")
        if self.schema_ is not None and self.schema_.get("type") != "object":
            raise ValueError("schema must be of type: object")
        return self


class FunctionToolFile(ToolBaseFile):
    """A Python function."""

    type: Literal["function"]
    function: Annotated[FilledText, AfterValidator(_callable)] = Field(
        description="module:function, or a function of `file`.", examples=["shop.orders:find"]
    )
    file: FilledText | None = Field(None, description="A Python file beside this one.")
    memory_mb: Whole | None = Field(2048, ge=64, description="What its process may hold.")

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (":" in self.function) == (self.file is not None):
            raise ValueError('give function: "module:function", or file and the name of a function')
        return self


class McpToolFile(ToolBaseFile):
    """The tools of an MCP server: `command` speaks on stdio, `url` is streamable HTTP."""

    type: Literal["mcp"]
    command: FilledText | list[FilledText] | None = Field(
        None, examples=[["npx", "-y", "@modelcontextprotocol/server-everything"]]
    )
    args: list[Text] = []
    url: HttpUrl | None = None
    env: dict[str, Text] = Field({}, description='Values may name secrets: "{TOKEN}".')
    headers: dict[str, Text] = Field({}, description='Values may name secrets: "Bearer {TOKEN}".')
    tools: list[FilledText] | None = Field(None, min_length=1, description="Only these.")
    effects: dict[str, Effect] = Field({}, description="Of single tools.")
    start_timeout: Seconds = Field(20.0, description="For connecting and listing.")

    @model_validator(mode="after")
    def _one_transport(self) -> Self:
        if (self.command is None) == (self.url is None):
            raise ValueError("give either command or url")
        if self.url is not None and (self.env or self.args):
            raise ValueError("env and args are for a command")
        if self.command is not None and self.headers:
            raise ValueError("headers are for a url")
        return self


class _Asking(ToolBaseFile, DeclaredArguments):
    cost_limit: Dollars | None = Field(None, description="Dollars for one call.")
    timeout: Seconds = Field(
        600.0, description="The whole call, people's time left out; an agent's own is kept too."
    )


class PromptToolFile(_Asking):
    """A model call of its own."""

    type: Literal["prompt"]
    effect: Effect = Field("read", description="A model call changes nothing.")
    prompt: FilledText = Field(description="A template of the arguments: {name}, {name?}.")
    persona: FilledText | None = None
    provider: FilledText | None = None
    model: FilledText | None = None
    temperature: Number | None = Field(None, ge=0, le=2)
    max_tokens: Whole | None = Field(None, ge=1)


class AgentToolFile(_Asking):
    """Another agent."""

    type: Literal["agent"]
    agent: FilledText = Field(description="An agent file beside this one.")
    ask: FilledText = Field("{message}", description="A template of the arguments.")


class HttpToolFile(ToolBaseFile, DeclaredArguments):
    """One HTTP request."""

    type: Literal["http"]
    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: HttpUrl = Field(examples=["https://api.example.org/orders/{order}"])
    query: dict[str, Text] = Field({}, description='Templates; "{name?}" may be left out.')
    headers: dict[str, Text] = Field({}, description='Values may name secrets: "Bearer {TOKEN}".')
    body: Json = Field(None, description="JSON; its texts are templates.")
    allow: list[Host] = Field([], description="Further hosts that redirects may lead to.")
    private: Flag = Field(False, description="Hosts may have addresses of private networks.")


class BuiltinToolFile(ToolBaseFile):
    """A tool that comes with Callboard."""

    type: Literal["builtin"]
    builtin: Literal["read_file", "write_file", "list_files", "fetch_url"]
    root: FilledText | None = Field(None, description="The folder it may reach, beside this file.")
    allow: list[Host] = Field([], description="The hosts that fetch_url may reach.")
    private: Flag = Field(False, description="Hosts may have addresses of private networks.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.builtin == "fetch_url":
            if not self.allow:
                raise ValueError("fetch_url needs allow: the hosts that it may reach")
            if self.root is not None:
                raise ValueError("root is for files")
        elif self.root is None:
            raise ValueError(f"{self.builtin} needs a root: the folder it may reach")
        return self


ToolFile = Annotated[
    FunctionToolFile
    | McpToolFile
    | PromptToolFile
    | AgentToolFile
    | HttpToolFile
    | BuiltinToolFile,
    Field(discriminator="type"),
]

TOOL_TYPES: dict[str, type[ToolBaseFile]] = {
    "function": FunctionToolFile,
    "mcp": McpToolFile,
    "prompt": PromptToolFile,
    "agent": AgentToolFile,
    "http": HttpToolFile,
    "builtin": BuiltinToolFile,
}


def arguments_schema(tool: DeclaredArguments, default: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of declared arguments, or the default."""
    if tool.schema_ is not None:
        return tool.schema_
    if tool.parameters is None:
        return default
    properties = {
        name.removesuffix("?"): {"type": kind} if isinstance(kind, str) else kind
        for name, kind in tool.parameters.items()
    }
    required = [name for name in tool.parameters if not name.endswith("?")]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
