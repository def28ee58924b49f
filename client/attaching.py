"""A team's files on their way into the store, so that any worker can send them.

A file that is another one than when its team was loaded is refused by name: what was planned,
priced and agreed to is what is sent.
"""

from client.storing import store_file
from config.sourcefiles import SourceError
from contracts.files import AttachedFile
from contracts.teams import ModelStep, StepSpec, TeamSpec
from stores.artifacts import ArtifactStore


async def with_stored_files(team: TeamSpec, store: ArtifactStore) -> TeamSpec:
    """Return a team whose files are all in the store. Raises `SourceError`, `StoreError`."""
    shared = team.shared_context
    if shared is not None:
        kept = tuple([await _stored(file, store) for file in shared.files])
        team = team.model_copy(update={"shared_context": shared.model_copy(update={"files": kept})})
    if not any(isinstance(step, ModelStep) and step.files for step in team.agents):
        return team
    steps: list[StepSpec] = []
    for step in team.agents:
        if isinstance(step, ModelStep) and step.files:
            files = tuple([await _stored(file, store) for file in step.files])
            steps.append(step.model_copy(update={"files": files}))
        else:
            steps.append(step)
    return team.model_copy(update={"agents": tuple(steps)})


async def _stored(file: AttachedFile, store: ArtifactStore) -> AttachedFile:
    if file.content is not None:
        if not await store.exists(file.content):
            raise SourceError(f"{file.path} ({file.name}) is not in the store {store.name}")
        return file
    since = "the team was loaded"
    ref = await store_file(store, file.path, file.mime_type, file.sha256, since)
    return file.model_copy(update={"content": ref})
