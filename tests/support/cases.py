"""How many cases property tests try: few in every run, many in the slow stage.

The profile "quick" is the default; `pytest -m hypothesis --hypothesis-profile=thorough` tries
five times as many. A test that wants more or less than others says so with `cases`.
"""

from hypothesis import settings

QUICK, THOROUGH = 30, 150
"""Cases of a property that says nothing of its own."""

USUAL = 100
"""What `cases` counts in: Hypothesis's own default."""


def load_profiles() -> None:
    """Make the profiles known and use the quick one, unless the command line names another."""
    settings.register_profile("quick", max_examples=QUICK, deadline=None)
    settings.register_profile("thorough", max_examples=THOROUGH, deadline=None)
    settings.load_profile("quick")


def cases(count: int) -> settings:
    """Return settings for `count` cases where others try a hundred, whatever the profile."""
    usual = settings.default
    assert usual is not None
    return settings(max_examples=max(1, count * usual.max_examples // USUAL), deadline=None)
