"""Stories of attempts and what a spool records of them, for the property tests.

A story is told from outside: attempts begin, go on from a text that was read, are thought lost
and write on all the same. `Story.records` is what a perfect spool holds; `truths[i]` is the text
that counts after record i, and `own_texts[i]` the text of that record's own attempt.
"""

from dataclasses import dataclass, field

from hypothesis import strategies as st

from contracts.spools import SpoolRecord

AGENT = "writer"


@dataclass
class _Attempt:
    text: str
    seq: int = 1
    ended: bool = False


@dataclass
class Story:
    """Records in the order of the file, and the text after each."""

    agent: str = AGENT
    records: list[SpoolRecord] = field(default_factory=list)
    truths: list[str] = field(default_factory=list)
    own_texts: list[str] = field(default_factory=list)
    _attempts: list[_Attempt] = field(default_factory=list)

    def begin(self, keep: int) -> None:
        """An attempt begins behind the first `keep` characters of the text that counts."""
        before = self._attempts[-1].text if self._attempts else ""
        kept = before[:keep]
        self._attempts.append(_Attempt(kept))
        self._tell("superseded", len(self._attempts), 0, len(kept))

    def write(self, back: int, text: str) -> None:
        """The attempt `back` before the latest writes text, whether it counts or not."""
        number = max(1, len(self._attempts) - back)
        attempt = self._attempts[number - 1]
        if attempt.ended:
            return
        offset = len(attempt.text)
        attempt.text += text
        attempt.seq += 1
        self._tell("delta", number, attempt.seq - 1, offset, text)

    def end(self) -> None:
        """The latest attempt ends."""
        attempt = self._attempts[-1]
        if not attempt.ended:
            attempt.ended = True
            self._tell("ended", len(self._attempts), attempt.seq, len(attempt.text))

    def _tell(self, kind: str, number: int, seq: int, offset: int, text: str = "") -> None:
        self.records.append(
            SpoolRecord.model_validate(
                {
                    "kind": kind,
                    "agent": self.agent,
                    "attempt": number,
                    "seq": seq,
                    "offset": offset,
                    "text": text,
                }
            )
        )
        self.truths.append(self._attempts[-1].text)
        self.own_texts.append(self._attempts[number - 1].text)


_texts = st.text(st.sampled_from('ab\n"\\{ü🙂\u2028'), min_size=1, max_size=5)
_acts = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, 12)),
    st.tuples(st.just("write"), st.integers(0, 2), _texts),
    st.tuples(st.just("write"), st.just(0), _texts),
    st.tuples(st.just("end")),
)


@st.composite
def stories(draw: st.DrawFn, agent: str = AGENT, max_acts: int = 20) -> Story:
    """Any interleaving of the records of several attempts of one agent."""
    story = Story(agent)
    story.begin(0)
    for act in draw(st.lists(_acts, max_size=max_acts)):
        getattr(story, act[0])(*act[1:])
    return story
