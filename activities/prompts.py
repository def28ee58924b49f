"""From a step and its values to the provider's request.

Everything that enters the request is counted in the step's `prompt_bytes` and its values' sizes,
so the reservation covers it; `request_bytes` is the check before sending.
"""

import json
from collections.abc import Mapping
from functools import lru_cache

from pydantic_core import to_json

from contracts.base import Json
from contracts.messages import ChatRequest, Message
from contracts.plans import PersonaProfile, Plan
from contracts.teams import ModelStep
from providers.toolspecs import parameters_schema, tool_definition
from rules import templates

CONTINUE_PROMPT = (
    "Your answer above was cut off. Continue exactly where it stopped: "
    "begin with the next characters, repeat nothing, and add no remark."
)
"""Asks a model without prefill to go on with an interrupted answer."""

REPAIR_PROMPT = (
    "Your answer does not fit what was asked for:\n{errors}\n"
    "Answer again with the whole corrected JSON and nothing else."
)
"""Shows a model what was wrong with its structured answer."""


def build_request(
    plan: Plan,
    step: ModelStep,
    values: Mapping[str, Json],
    max_tokens: int,
    metadata: dict[str, str],
) -> ChatRequest:
    """Return the request of a first, whole attempt at a step."""
    profile = plan.personas.get(step.persona or "", PersonaProfile(name=""))
    config = step.llm_config
    prompt = templates.render(_parsed(step.prompt_template), values)
    return ChatRequest(
        messages=[Message("user", prompt)],
        system=config.system or profile.system,
        max_tokens=max_tokens,
        temperature=config.temperature if config.temperature is not None else profile.temperature,
        top_p=config.top_p,
        stop=list(config.stop) if config.stop else None,
        seed=config.seed,
        reasoning_effort=config.reasoning_effort,
        thinking_budget=config.thinking_budget,
        tools=[tool_definition(tool) for tool in step.tools] or None,
        response_schema=step.output.schema_,
        json_mode=step.output.kind == "json" and step.output.schema_ is None,
        metadata=metadata,
    )


@lru_cache(maxsize=256)
def _parsed(text: str) -> templates.Template:
    """Parse a prompt once, however many items of a list are asked with it."""
    return templates.parse(text)


def continued(request: ChatRequest, partial: str, prefill: bool) -> ChatRequest:
    """Return the request that asks for the rest of an interrupted answer.

    With prefill the model goes on from its own words (trailing white space is refused there);
    without it the model is asked to.
    """
    turns = [*request.messages, Message("assistant", partial.rstrip() if prefill else partial)]
    if not prefill:
        turns.append(Message("user", CONTINUE_PROMPT))
    return _with_messages(request, turns)


def repaired(request: ChatRequest, answer: str, errors: tuple[str, ...]) -> ChatRequest:
    """Return the request that shows a model its answer and what was wrong with it."""
    listed = "\n".join(f"- {error}" for error in errors)
    turns = [
        *request.messages,
        Message("assistant", answer),
        Message("user", REPAIR_PROMPT.format(errors=listed)),
    ]
    return _with_messages(request, turns)


def _with_messages(request: ChatRequest, messages: list[Message]) -> ChatRequest:
    fields = {name: getattr(request, name) for name in request.__dataclass_fields__}
    return ChatRequest(**{**fields, "messages": messages})


def request_bytes(request: ChatRequest) -> int:
    """Return the size in bytes of all text in a request: no fewer than its tokens."""
    size = _bytes(request.system or "") + sum(map(_message_bytes, request.messages))
    for tool in request.tools or ():
        size += _bytes(tool.name) + _bytes(tool.description)
        size += len(json.dumps(parameters_schema(tool)))
    if request.response_schema is not None:
        size += len(json.dumps(request.response_schema))
    return size


def _message_bytes(message: Message) -> int:
    """Return the size of one message: a long conversation has hundreds, measured every turn."""
    size = _bytes(message.content)
    for call in message.tool_calls:
        size += _bytes(call.name)
        size += _bytes(call.raw_arguments) if call.raw_arguments else len(to_json(call.arguments))
    if message.vendor_state is not None:
        size += len(json.dumps(message.vendor_state, default=str))
    return size


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def likely_tokens(request: ChatRequest, size: int | None = None) -> int:
    """Return about how many tokens a call takes of its account's limits, its answer included.

    Four bytes a token, and all of `max_tokens`, as vendors count it. `size` is the request's in
    bytes, where the caller knows it.
    """
    size = request_bytes(request) if size is None else size
    return -(-size // 4) + (request.max_tokens or 0)
