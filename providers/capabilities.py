"""What models can do: the capability table, and the profile of one model.

The table (`config/capabilities.yaml`, or `docs/capabilities.yaml` of the working folder) lists
models by provider and name pattern, dated and with a source; the first entry that matches
counts. A model that it does not know gets its provider's default profile, marked as such: such a
model is allowed, with a warning.
"""

from collections.abc import Mapping
from dataclasses import dataclass
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
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


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


Caching = Literal["none", "prefix", "named"]
Modality = Literal["text", "image", "audio", "video", "pdf"]


class ProviderEntry(_Written):
    """A provider: its default model, its default profile, its models.

    `uploads`: the kinds of files that it keeps for later requests. `caching`: whether it caches
    a prefix within requests that repeat it, or under a name of its own, and from how many tokens
    on (`cache_floor`). `cache_floors` says so for models by name or glob, the first that matches;
    `uncached` names those that it makes no caches of.
    """

    default_model: str
    uploads: tuple[Modality, ...] = ()
    caching: Caching = "none"
    cache_floor: Annotated[int, Field(ge=0)] = 0
    cache_floors: Mapping[str, Annotated[int, Field(ge=0)]] = {}
    uncached: tuple[str, ...] = ()
    default_profile: Profile
    models: tuple[ModelEntry, ...] = ()


@dataclass(frozen=True)
class CachingFacts:
    """How prefixes of a model are cached, and from how many tokens on.

    `stated`: the vendor says so of this very model.
    """

    kind: Caching
    floor: int
    stated: bool = True


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

    def caching(self, provider: str, model: str) -> CachingFacts:
        """Return how a model's prefixes are cached."""
        entry, name = self.entry(provider), model.removeprefix("models/").lower()
        if entry.caching == "none" or any(fnmatchcase(name, one) for one in entry.uncached):
            return CachingFacts("none", 0)
        for pattern, floor in entry.cache_floors.items():
            if fnmatchcase(name, pattern):
                return CachingFacts(entry.caching, floor)
        return CachingFacts(entry.caching, entry.cache_floor, stated=False)

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
