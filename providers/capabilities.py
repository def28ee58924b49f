"""What models can do: the capability table, and the profile of one model.

The table (`config/capabilities.yaml`, or `docs/capabilities.yaml` of the working folder) lists
models by provider and name pattern, dated and with a source; the first entry that matches
counts. A model that it does not know gets its provider's default profile, marked as such: such a
model is allowed, with a warning.
"""

from collections.abc import Mapping
from datetime import date
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from providers.yamlfiles import load_model

CAPABILITIES = (
    "system_prompts",
    "streaming",
    "tool_calling",
    "json_mode",
    "vision",
    "stop_sequences",
    "token_count",
)
"""The names that requests are checked against; a policy may use further ones of its own."""

SHIPPED = Path(__file__).resolve().parent.parent / "config"

Tokens = Annotated[int, Field(ge=1)]


class _Written(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Sampling(_Written):
    """Which sampling parameters a model takes: ranges, or none at all."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = 2.0
    top_p: bool = True
    max_stop: Annotated[int, Field(ge=0)] | None = None


class Profile(_Written):
    """What is known of a model. Sizes in tokens; None means unknown.

    `sampling.temperature` is the highest one accepted, None that the parameter is refused.
    `prefill`: an assistant's turn at the end is gone on from. `resume`: an interrupted answer can
    be taken up by its id. `counts_tokens`: the vendor counts a prompt without charge.
    `overhead_tokens`: what the adapter adds to each request by itself.
    """

    capabilities: frozenset[str]
    context_window: Tokens | None = None
    max_output_tokens: Tokens | None = None
    modalities: tuple[Literal["text", "image", "audio", "video", "pdf"], ...] = ("text",)
    sampling: Sampling = Sampling()
    reasoning: bool = False
    prefill: bool = False
    resume: bool = False
    counts_tokens: bool = False
    overhead_tokens: Annotated[int, Field(ge=0)] = 0


class ModelEntry(Profile):
    """One row of the table: models of a provider by name or glob.

    `shutdown` is the day from which the vendor serves them no more.
    """

    match: Annotated[tuple[str, ...], Field(min_length=1)]
    shutdown: date | None = None
    note: str = ""
    as_of: date
    source: str


Modality = Literal["text", "image", "audio", "video", "pdf"]


class ProviderEntry(_Written):
    """A provider: its default model, its default profile, its models.

    `uploads`: the kinds of files that it keeps for later requests. `caching`: whether it caches
    a prefix within requests that repeat it, or under a name of its own, and from how many tokens
    on (`cache_floor`).
    """

    default_model: str
    uploads: tuple[Modality, ...] = ()
    caching: Literal["none", "prefix", "named"] = "none"
    cache_floor: Annotated[int, Field(ge=0)] = 0
    default_profile: Profile
    models: tuple[ModelEntry, ...] = ()


class CapabilityTable(_Written):
    """The whole table."""

    providers: Mapping[str, ProviderEntry] = {}

    def profile(self, provider: str, model: str) -> "tuple[Profile | None, bool]":
        """Return a model's profile, and whether the table knows the model itself.

        Falls back to the provider's default profile; None where not even that is known.
        """
        entry = self.providers.get(provider)
        if entry is None:
            return None, False
        name = model.removeprefix("models/").lower()
        for row in entry.models:
            if any(fnmatchcase(name, pattern.lower()) for pattern in row.match):
                return row, True
        return entry.default_profile, False

    def entry(self, provider: str) -> ProviderEntry:
        """Return what is known of a provider; nothing of one that is not in the table."""
        unknown = ProviderEntry(default_model="", default_profile=Profile(capabilities=frozenset()))
        return self.providers.get(provider, unknown)

    def default_model(self, provider: str) -> str | None:
        """Return the model that a provider uses when nobody names one."""
        entry = self.providers.get(provider)
        return entry.default_model if entry else None


def default_path(name: str) -> Path:
    """Return `docs/<name>` of the working folder if it exists, else the shipped file."""
    own = Path("docs") / name
    return own if own.is_file() else SHIPPED / name


def load_capabilities(path: str | Path | None = None) -> CapabilityTable:
    """Read the capability table. Raises `RouterError` naming the file and the line."""
    chosen = Path(path) if path is not None else default_path("capabilities.yaml")
    return _load(chosen.absolute(), file_stamp(chosen))


def file_stamp(path: Path) -> tuple[int, int] | None:
    """Return what changes when the file does."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=16)
def _load(path: Path, stamp: tuple[int, int] | None) -> CapabilityTable:
    return load_model(path, CapabilityTable)
