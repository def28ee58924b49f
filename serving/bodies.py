"""The grammar of `POST /v1/chat/completions`: what a body may have, field by field.

Fields that `Body` does not name are in its `model_extra`; in the parts of it they are passed over,
since OpenAI's clients send back what they were given. No error shows a value.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

MOST_MESSAGES = 10_000
MOST_TOOLS = 128


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class ContentPart(Lenient):
    type: Literal["text"]
    text: str


class ImageUrl(Lenient):
    url: str
    detail: Literal["auto"] | None = None


class ImagePart(Lenient):
    type: Literal["image_url"]
    image_url: ImageUrl


UserPart = Annotated[ContentPart | ImagePart, Field(discriminator="type")]
"""What a user's message may consist of."""

UserContent = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[UserPart], Tag("parts")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "parts"),
]

Content = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[ContentPart], Tag("parts")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "parts"),
]


class CalledFunction(Lenient):
    name: str
    arguments: str


class Called(Lenient):
    id: Annotated[str, Field(min_length=1)]
    type: Literal["function"] = "function"
    function: CalledFunction


class SystemMessage(Lenient):
    role: Literal["system", "developer"]
    content: Content


class UserMessage(Lenient):
    role: Literal["user"]
    content: UserContent
    name: str | None = None


class AssistantMessage(Lenient):
    role: Literal["assistant"]
    content: Content | None = None
    refusal: str | None = None
    tool_calls: list[Called] | None = None


class ToolMessage(Lenient):
    role: Literal["tool"]
    content: Content
    tool_call_id: str


AnyMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class ToolFunction(Lenient):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Lenient):
    type: Literal["function"]
    function: ToolFunction


class NamedFunction(Lenient):
    name: str


class NamedTool(Lenient):
    type: Literal["function"]
    function: NamedFunction


class JsonSchema(Lenient):
    name: str = ""
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class TextForm(Lenient):
    type: Literal["text"]


class ObjectForm(Lenient):
    type: Literal["json_object"]


class SchemaForm(Lenient):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class StreamOptions(Lenient):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Level = Literal["simulated", "limited", "native"]
Requires = dict[str, Level] | list[str]
"""Capabilities with the least level that will do; a list: any level will."""


class Body(BaseModel):
    """The body. Fields that it does not name are in `model_extra`."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True, strict=False)

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[AnyMessage], Field(min_length=1, max_length=MOST_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2, allow_inf_nan=False)] = None
    top_p: Annotated[float | None, Field(ge=0, le=1, allow_inf_nan=False)] = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    stop: str | list[str] | None = None
    seed: int | None = None
    reasoning_effort: Effort | None = None
    response_format: Annotated[
        TextForm | ObjectForm | SchemaForm | None, Field(discriminator="type")
    ] = None
    tools: Annotated[list[Tool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Literal["auto", "none", "required"] | NamedTool | None = None
    requires: Requires | None = None
