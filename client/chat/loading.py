"""Agent files, loaded as seed 003 loads them."""

from collections.abc import Mapping
from pathlib import Path

from client.chat.exceptions import InvalidToolError
from client.chat.values import AgentConfig
from config.agentfile import AgentFileError, load_agent
from contracts.base import Json


class ConfigLoader:
    """Loads agent configurations. `given` are settings that go before the file's own."""

    def __init__(
        self, env: Mapping[str, str] | None = None, given: Mapping[str, Json] | None = None
    ) -> None:
        self._env, self._given = env, given

    def load_agent(self, path: str | Path) -> AgentConfig:
        """Return the agent of a file.

        Raises InvalidToolError where only its tools cannot be used, `config.agentfile`'s
        AgentFileError (which lists every problem with its line) for the rest.
        """
        try:
            loaded = load_agent(Path(path), self._env, self._given)
        except AgentFileError as error:
            if len(error.of_tools) == len(error.problems):
                raise InvalidToolError(str(error)) from None
            raise
        return AgentConfig(loaded)
