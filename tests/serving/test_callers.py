"""Keys: how they are written, found, and never shown."""

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest

from config.problems import ConfigError
from providers.exceptions import RouterError
from serving.callers import KEY_PREFIX, load_keys, new_key

pytestmark = pytest.mark.unit

KEY = "sk-callboard-0123456789abcdef"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    return str(path)


def test_none_are_set() -> None:
    for nothing in (None, "", "  "):
        assert load_keys(nothing).open


def test_pairs() -> None:
    ring = load_keys(f"alice:{KEY}, bob:{KEY}x")
    assert [found.name for k in (KEY, KEY + "x") if (found := ring.find(k))] == ["alice", "bob"]
    for other in ("", KEY[:-1], KEY + "y", KEY.upper()):
        assert ring.find(other) is None


def test_a_file_has_digests_variables_and_limits(tmp_path: Path) -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    path = written(
        tmp_path,
        f"""
keys:
  - name: alice
    sha256: {digest.upper()}
    models: [support]
    limits: {{requests_per_minute: 60, usd_per_day: 2.5}}
  - {{name: shop, env: SHOP_KEY}}
models:
  support: {{tokens_per_minute: 100}}
""",
    )
    ring = load_keys(path, {"SHOP_KEY": "another-long-enough-key"})
    alice, shop = ring.find(KEY), ring.find("another-long-enough-key")
    assert alice is not None
    assert shop is not None
    assert (alice.limits.requests_per_minute, alice.limits.usd_per_day) == (60, Decimal("2.5"))
    assert (alice.may_ask("support"), alice.may_ask("sales"), shop.may_ask("sales")) == (
        True,
        False,
        True,
    )
    assert ring.models["support"].tokens_per_minute == 100


def test_no_key_is_ever_shown(tmp_path: Path) -> None:
    ring = load_keys(f"alice:{KEY}")
    assert KEY not in repr(ring)
    assert hashlib.sha256(KEY.encode()).hexdigest() not in repr(ring)
    with pytest.raises(ConfigError) as error:
        load_keys("alice:secret")
    assert "secret" not in str(error.value)
    assert "16 characters" in str(error.value)


def test_a_made_key_fits_its_digest(tmp_path: Path) -> None:
    key, digest = new_key()
    assert key.startswith(KEY_PREFIX)
    ring = load_keys(written(tmp_path, f"keys: [{{name: alice, sha256: {digest}}}]"))
    assert ring.find(key) is not None
    assert new_key()[0] != key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: [{name: alice, key: abc}]", r"keys.yaml:1: keys\[0\].key: unknown key"),
        ("keys: [{name: alice}]", "give either sha256 or env"),
        ("keys: [{name: a-b, env: A}]", r"keys\[0\].name"),
        ("keys: [{name: alice, sha256: abc}]", r"keys\[0\].sha256"),
        ("keys: [{name: alice, env: NOT_SET}]", "NOT_SET is not set"),
        ("keys:\n - {name: a, env: K}\n - {name: a, env: K}", "two keys have the name a"),
        ("keys: []", "has no keys"),
        ("models: {x: {requests_per_minute: -1}}", "requests_per_minute"),
    ],
)
def test_a_wrong_file_says_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises((ConfigError, RouterError), match=said):
        load_keys(written(tmp_path, text), {"K": KEY})


def test_a_missing_file_is_named() -> None:
    with pytest.raises(RouterError, match=r"/nowhere/keys.yaml: no such file"):
        load_keys("/nowhere/keys.yaml")
