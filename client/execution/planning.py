"""From sources, prompts and options to a plan: files, upload tasks, cache, estimate, fallback.

Reads the files (for their digests, and small texts whole), asks nobody.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from client.execution.direct import read_unchanged
from client.execution.sources import SourceError, describe_file, mime_type
from contracts.base import Frozen
from contracts.execution import (
    DEFAULT_STAGES,
    APICall,
    CachePlan,
    CallSettings,
    ConversationPart,
    ExecutionPlan,
    FilePlaceholder,
    FileRefPart,
    SourceFile,
    TextPart,
    UploadTask,
)
from contracts.messages import Message
from providers.exceptions import InvalidRequest
from rules.batches import asked_together
from rules.sizes import estimate

Source = str | Path | Frozen
"""A file's path, an http(s) address, or a part."""


class ExecutionOptions(BaseModel):
    """How to execute. Settings that are not given are the vendor's defaults.

    `cache`: True, or how. `cache_name` names a cache of your own instead. `uploads`: "auto"
    uploads where the provider can, "required" insists, "never" sends files inline.
    `inline_below`: text files up to so many bytes are part of the request. `one_call` asks all
    prompts in one request. `fallback_model` or `fallback_provider` make a fallback plan.
    `reuse_s`: a durable execution takes an identical call's answer that is no older.
    `root`: no file outside of it is read. `budget`: dollars that are never passed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: Annotated[str, Field(min_length=1)]
    provider: str | None = None
    settings: CallSettings = CallSettings()
    cache: bool | CachePlan = False
    cache_name: str | None = None
    uploads: Literal["auto", "required", "never"] = "auto"
    inline_below: Annotated[int, Field(ge=0)] = 16_384
    history: tuple[Message, ...] = ()
    one_call: bool = False
    fallback_model: str | None = None
    fallback_provider: str | None = None
    concurrency: Annotated[int | None, Field(ge=1)] = None
    rate_constrained: bool = False
    keep_uploads: bool = False
    reuse_s: Annotated[float, Field(ge=0)] = 0.0
    timeout: Annotated[float, Field(gt=0)] = 300.0
    stages: tuple[str, ...] = DEFAULT_STAGES
    root: Path | None = None
    budget: Annotated[Decimal | None, Field(gt=0)] = None


class OptionsError(ValueError):
    """An option is unknown or has a value that it cannot have; the text names it."""


def plan_execution(
    sources: Source | Iterable[Source],
    prompts: str | Sequence[str],
    options: ExecutionOptions | Mapping[str, Any] | None = None,
    **more: Any,
) -> ExecutionPlan:
    """Return the plan that asks each prompt about all sources; one of either need be no list.

    `options` as a mapping or as keywords: those of `ExecutionOptions`; `model` is needed. What a
    call's settings are called may stand among them (`system`, `max_tokens`, …). Raises
    `SourceError` for a file that cannot be read, `OptionsError`, `ValueError` without a prompt.
    """
    chosen = read_options(options, more)
    asked = (prompts,) if isinstance(prompts, str) else tuple(prompts)
    if not asked or not all(prompt.strip() for prompt in asked):
        raise ValueError("an execution needs a prompt, and none that is empty")
    shared, files = _shared(sources, chosen)
    plan = ExecutionPlan(
        calls=_calls(asked, chosen),
        shared_parts=shared,
        files=files,
        upload_tasks=_tasks(shared, chosen),
        cache=_cache(chosen),
        provider=chosen.provider,
        stages=tuple(s for s in chosen.stages if s != "upload" or chosen.uploads != "never"),
        concurrency=chosen.concurrency,
        rate_constrained=chosen.rate_constrained,
        keep_uploads=chosen.keep_uploads,
        timeout=chosen.timeout,
        budget=chosen.budget,
    )
    return plan.model_copy(
        update={"token_estimate": estimate(plan), "fallback": _fallback(plan, chosen)}
    )


def read_options(
    options: ExecutionOptions | Mapping[str, Any] | None, more: Mapping[str, Any]
) -> ExecutionOptions:
    """Return options from a value, a mapping, keywords, or several of them. Raises OptionsError."""
    if isinstance(options, ExecutionOptions) and not more:
        return options
    if isinstance(options, ExecutionOptions):
        given = {name: getattr(options, name) for name in options.model_fields_set}
    else:
        given = dict(options or {})
    given |= more
    own = {k: given.pop(k) for k in list(given) if k in CallSettings.model_fields}
    try:
        if own:
            before = given.get("settings", CallSettings())
            base = {n: getattr(before, n) for n in CallSettings.model_fields}
            given["settings"] = CallSettings(**{**base, **own})
        return ExecutionOptions(**given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(map(str, first["loc"])) or "options"
        raise OptionsError(f"{name}: {first['msg']}") from None


def _shared(
    sources: Source | Iterable[Source], options: ExecutionOptions
) -> tuple[tuple[Frozen, ...], tuple[SourceFile, ...]]:
    parts: list[Frozen] = []
    files: list[SourceFile] = []
    for source in (sources,) if isinstance(sources, str | Path | Frozen) else sources:
        if isinstance(source, Frozen):
            parts.append(source)
        elif isinstance(source, str) and source.startswith(("https://", "http://")):
            parts.append(FileRefPart(uri=source, mime_type=mime_type(Path(source), b"\0")))
        else:
            parts.append(_file_part(describe_file(source, options.root), files, options))
    return tuple(parts), tuple(files)


def _file_part(file: SourceFile, files: list[SourceFile], options: ExecutionOptions) -> Frozen:
    """Return a small text itself, for other files a placeholder; the same file has one number."""
    small = file.size_bytes <= options.inline_below and options.uploads != "required"
    if file.mime_type.startswith("text/") and small:
        try:
            text = read_unchanged(file).decode(errors="replace")
        except InvalidRequest as error:
            raise SourceError(str(error)) from None
        return TextPart(text=f"{file.name}:\n{text}")
    if file not in files:
        files.append(file)
    return FilePlaceholder(index=files.index(file))


def _calls(prompts: tuple[str, ...], options: ExecutionOptions) -> tuple[APICall, ...]:
    own = (options.cache_name or "").strip()
    talk = (ConversationPart(messages=options.history),) if options.history else ()

    def call(text: str, questions: int = 1) -> APICall:
        return APICall(
            model=options.model,
            parts=(*talk, TextPart(text=text)),
            settings=options.settings,
            cache_name=own or None,
            cache_application="override" if own else "none",
            questions=questions,
            reuse_s=options.reuse_s,
        )

    if options.one_call and len(prompts) > 1:
        return (call(asked_together(prompts), len(prompts)),)
    return tuple(call(prompt) for prompt in prompts)


def _tasks(shared: tuple[Frozen, ...], options: ExecutionOptions) -> tuple[UploadTask, ...]:
    if options.uploads == "never":
        return ()
    required = options.uploads == "required"
    return tuple(
        UploadTask(part_index=index, call=None, required=required)
        for index, part in enumerate(shared)
        if isinstance(part, FilePlaceholder)
    )


def _cache(options: ExecutionOptions) -> CachePlan | None:
    if isinstance(options.cache, CachePlan):
        return options.cache
    return CachePlan() if options.cache else None


def _fallback(plan: ExecutionPlan, options: ExecutionOptions) -> ExecutionPlan | None:
    """Return the same for another model or provider: uncached, its uploads not insisted on."""
    if options.fallback_model is None and options.fallback_provider is None:
        return None
    model = options.fallback_model or options.model
    plain = {"model": model, "cache_name": None, "cache_application": "none"}
    return plan.model_copy(
        update={
            "calls": tuple(call.model_copy(update=plain) for call in plan.calls),
            "provider": options.fallback_provider or plan.provider,
            "cache": None,
            "upload_tasks": tuple(
                task.model_copy(update={"required": False}) for task in plan.upload_tasks
            ),
        }
    )
