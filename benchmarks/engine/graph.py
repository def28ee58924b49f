"""The graph that is run in three ways: layers of agents, each reads all answers of the layer above.

An answer is so many pieces of text, with so many milliseconds between them, as the vendor of
`benchmarks._vendor` understands a model's name: `50x10`.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel

LAYERS = (1, 6, 6, 6, 1)
CHUNKS = 50
MAX_TOKENS = 400
QUESTION = "Say what follows from this, and what speaks against it."


class Agent(BaseModel):
    """One agent: `prompt` holds `{name}` for each answer that it needs."""

    name: str
    needs: tuple[str, ...]
    prompt: str

    def asked(self, answers: Mapping[str, str]) -> str:
        """Return the prompt with the answers in it."""
        return self.prompt.format_map(answers)


def layered(widths: Sequence[int] = LAYERS) -> tuple[Agent, ...]:
    """Return a graph of layers, from the first to the last."""
    agents: list[Agent] = []
    above: tuple[str, ...] = ()
    for depth, width in enumerate(widths):
        names = tuple(f"agent_{depth}_{place}" for place in range(width))
        prompt = "\n".join([QUESTION, *(f"{{{name}}}" for name in above)])
        agents += [Agent(name=name, needs=above, prompt=prompt) for name in names]
        above = names
    return tuple(agents)
