"""Files beside a message: what they take of a prompt, who takes them, who would."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.agent_plans import plan_own
from client.cli.chat_files import Files
from client.cli.chatting import ChatWanted, Talk
from client.enclosing import TooLarge, enclose, load_of, takes, taking
from client.planning import PlanError
from client.step_needs import rates_of
from config.agentfile import LoadedAgent
from contracts.chats import AgentPlan
from contracts.enclosures import FileLoad, FileRates, MessageParts
from contracts.files import INLINE_BYTES
from contracts.parts import FileInlinePart, FileRefPart, TextPart
from contracts.plans import Candidate
from providers import media
from providers.capabilities import load_capabilities
from rules.bounds import file_bound
from stores.artifacts import ArtifactStore
from tests.support.talks import agent
from tests.support.teams import AT_ONCE, candidate

pytestmark = pytest.mark.unit

TABLE = load_capabilities()
SEES, BLIND = candidate("openai", "gpt-4o"), candidate("openai", "gpt-3.5-turbo")
HEARS = candidate("openai", "gpt-audio")
PNG = b"\x89PNG\r\n\x1a\n"
CAT = FileInlinePart(data=PNG, mime_type="image/png", name="cat.png")

files = st.builds(
    FileRefPart,
    uri=st.just("artifact:" + "0" * 64),
    mime_type=st.sampled_from(["image/png", "application/pdf", "text/plain", "audio/wav"]),
    name=st.sampled_from([None, "a"]),
    size_bytes=st.integers(0, 1_000_000),
    pages=st.sampled_from([None, 1, 40]),
)
models = st.sampled_from(["gpt-4o-mini", "gpt-4o", "claude-sonnet-5-5", "gemini-3-pro", "other"])


@given(st.lists(files, max_size=6), st.lists(models, min_size=1, max_size=3), st.data())
def test_no_model_counts_more_than_is_held(
    shown: list[FileRefPart], names: list[str], data: st.DataObject
) -> None:
    every = [candidate(model=name, context_window=1_000_000) for name in names]
    held = file_bound(load_of(shown), rates_of(every))
    who = data.draw(st.sampled_from(every))
    counted = sum(
        media.file_tokens(who.model, f.mime_type, f.size_bytes or 0, who.context_window, f.pages)
        + (media.NAME_BYTES if f.name else 0)
        for f in shown
    )
    assert counted <= held


@given(st.lists(files, max_size=4), st.lists(files, max_size=4))
def test_what_is_counted_adds_up(one: list[FileRefPart], other: list[FileRefPart]) -> None:
    assert load_of(one) + load_of(other) == load_of([*one, *other])


def test_nobody_looked_up_is_the_dearest_that_is_known() -> None:
    dearest = rates_of([candidate(model=name) for name in ("gpt-4o-mini", "other")])
    assert FileRates() == dearest == rates_of([])


async def test_files_are_stored_with_their_pages_and_texts_stay_between(tmp_path: Path) -> None:
    store = ArtifactStore.open(str(tmp_path))
    pdf = FileInlinePart(
        data=b"%PDF /Type /Page /Type /Page", mime_type="application/pdf", name="a.pdf"
    )
    made = await enclose(store, [CAT, TextPart(text="and"), pdf])
    kept = (await store.get_model(made.parts, MessageParts)).parts
    assert [part.kind for part in kept] == ["file_ref", "text", "file_ref"]
    assert getattr(kept[2], "pages", None) == 2
    size = len(PNG) + len(pdf.data)
    names = 2 * media.NAME_BYTES
    assert made.load == FileLoad(
        images=1, pages=2, tokens=names, size_bytes=size, kinds=("image", "pdf")
    )
    large = FileInlinePart(data=bytes(INLINE_BYTES), mime_type="image/png")
    with pytest.raises(TooLarge, match="20,000,008 bytes together"):
        await enclose(store, [CAT, large])


def test_who_takes_what() -> None:
    assert takes(TABLE, SEES, ("image",))
    assert takes(TABLE, BLIND, ("text",))
    assert not takes(TABLE, BLIND, ("image",))
    assert takes(TABLE, HEARS, ("audio",))
    assert not takes(TABLE, HEARS, ("audio", "image"))
    assert not takes(TABLE, candidate("nobody", "x"), ("image",))


def planned(*candidates: Candidate) -> Any:
    made = plan_own(LoadedAgent(agent(), Path(), {}), lambda _: candidates[0], AT_ONCE)
    made.plan = made.plan.model_copy(update={"candidates": candidates})
    return made


def test_who_takes_none_is_left_out_and_nobody_left_is_told() -> None:
    kept = taking(planned(BLIND, SEES), TABLE, ("image",))
    assert kept.plan.candidates == (SEES,)
    assert kept.node.candidates == (0,)
    assert taking(planned(SEES), TABLE, ("image",)).plan.candidates == (SEES,)
    with pytest.raises(PlanError) as error:
        taking(planned(BLIND), TABLE, ("image", "text"), "cat.png")
    said = str(error.value)
    assert said.startswith("cat.png: openai gpt-3.5-turbo takes no image files; these would")
    assert "anthropic (" in said


class _Planning:
    """Judges by the shipped table."""

    def takes(self, candidates: Any, kinds: Any) -> bool:
        return all(takes(TABLE, one, kinds) for one in candidates)

    def taking(self, made: Any, kinds: Any, named: str = "") -> Any:
        return taking(made, TABLE, kinds, named)


class _Chat:
    """A conversation with two who answer; remembers who shall from now on."""

    def __init__(self, store: ArtifactStore, made: Any) -> None:
        self.store, self._made, self.agents = store, made, list[Any]()

    async def view(self) -> Any:
        plan = AgentPlan(agent=self._made.agent, candidates=self._made.plan.candidates)
        shown = type("View", (), {"plan": await self.store.put_json(plan), "files": FileLoad()})
        return shown()

    async def use_agent(self, header: Any) -> None:
        self.agents.append(header)


async def test_at_the_terminal_who_takes_no_pictures_is_left_out_once_one_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, planning = planned(BLIND, SEES), _Planning()
    chat = _Chat(ArtifactStore.open(str(tmp_path)), made)
    files = Files()
    talk = Talk(planning, ChatWanted(Path("a.yaml")), chat, made, files)  # type: ignore[arg-type]
    await talk._find_taker((CAT,))
    (header,) = chat.agents
    assert header.candidates == (SEES,)
    assert "answers from now on: openai gpt-4o" in capsys.readouterr().err
    note = FileInlinePart(data=b"x", mime_type="text/plain", name="a.txt")
    await talk._find_taker((note,))
    assert len(chat.agents) == 1, "a text everybody takes"
