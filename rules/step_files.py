"""The files of a team's steps: which are sent, which uploaded, who shares a prefix. Pure."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from contracts.files import INLINE_BYTES, AttachedFile
from contracts.plans import Plan
from contracts.teams import AgentStep, ModelStep, StepSpec, TeamSpec


def files_of(team: TeamSpec, step: StepSpec) -> tuple[AttachedFile, ...]:
    """Return all files that a step sends, those of the shared context first."""
    if not isinstance(step, ModelStep | AgentStep):
        return ()
    shared = team.shared_context.files if team.shared_context and step.shared_context else ()
    return shared if isinstance(step, AgentStep) else (*shared, *step.files)


def needs_uploads(team: TeamSpec, step: StepSpec) -> bool:
    """Whether a step's files are more than its request can hold."""
    return sum(file.size_bytes for file in files_of(team, step)) > INLINE_BYTES


def large_files(team: TeamSpec) -> tuple[AttachedFile, ...]:
    """Return the files that are uploaded where that can be done, each once."""
    large = [file for step in team.agents for file in files_of(team, step) if file.large]
    return tuple({file.sha256: file for file in large}.values())


def prefix_digest(tools: Sequence[Any], kind: str, schema: dict[str, Any] | None) -> str:
    """Return the digest of what stands before a shared context in requests: equal, they share."""
    before = [list(tools), kind, schema]
    return hashlib.sha256(json.dumps(before, sort_keys=True).encode()).hexdigest()[:12]


def file_values(
    step: ModelStep | AgentStep, plan: Plan, before: str, *, tools: bool
) -> dict[str, Any]:
    """Return what of a step's files is uploaded, and with whom it shares its prefix."""
    own = {file.sha256 for file in files_of(plan.team, step) if file.large}
    # Looking through all steps for every step would be slow for thousands.
    large = [file.sha256 for file in large_files(plan.team)] if own else []
    uses_shared = step.shared_context and plan.team.shared_context is not None
    return {
        "uploads": tuple(n for n, sha256 in enumerate(large) if sha256 in own),
        "needs_uploads": needs_uploads(plan.team, step),
        "shared": before if uses_shared else "",
        "tools": tools,
    }
