"""How a worker keeps the limits of its policy: by itself, in Redis, by the queue."""

from pathlib import Path

import pytest

from config.settings import Settings
from providers.accounts import InProcessLimits
from providers.exceptions import RouterError
from providers.redis_limits import RedisLimits
from worker import kept_limits

pytestmark = pytest.mark.unit

POLICY = """
providers:
  openai: {limits: {requests_per_minute: 600, tokens_per_minute: 100000, concurrency: 7}}
  gemini: {limits: {requests_per_day: 50}}
  simulated: {}
"""


def settings(folder: Path, redis_url: str | None = None, policy: str = POLICY) -> Settings:
    path = folder / "policy.yaml"
    path.write_text(policy)
    return Settings(persona_policy=path, redis_url=redis_url)


def test_the_only_worker_keeps_all_limits_itself(tmp_path: Path) -> None:
    kept = kept_limits(settings(tmp_path), alone=True)
    assert {name: type(account) for name, account in kept.accounts.items()} == {
        "openai": InProcessLimits,
        "gemini": InProcessLimits,
    }
    assert kept.concurrency == {"openai": 7}
    assert kept.rates == {}


def test_workers_that_share_nothing_share_the_queues_rate(tmp_path: Path) -> None:
    kept = kept_limits(settings(tmp_path), alone=False)
    assert kept.rates == {"openai": 8.0}
    assert isinstance(kept.accounts["openai"], InProcessLimits)


@pytest.mark.parametrize("alone", [True, False])
def test_workers_that_share_a_redis_need_no_queues_rate(tmp_path: Path, alone: bool) -> None:
    kept = kept_limits(settings(tmp_path, "redis://127.0.0.1:1/0"), alone)
    assert {type(account) for account in kept.accounts.values()} == {RedisLimits}
    assert kept.rates == {}


def test_a_policy_without_limits_limits_nothing(tmp_path: Path) -> None:
    kept = kept_limits(settings(tmp_path, policy="providers: {openai: {}}"), alone=False)
    assert (dict(kept.accounts), dict(kept.concurrency), dict(kept.rates)) == ({}, {}, {})


def test_a_wrong_limit_names_the_file_and_the_key(tmp_path: Path) -> None:
    policy = "providers: {openai: {limits: {requests_per_minute: 0}}}"
    with pytest.raises(RouterError, match=r"policy\.yaml.*requests_per_minute"):
        kept_limits(settings(tmp_path, policy=policy), alone=True)
