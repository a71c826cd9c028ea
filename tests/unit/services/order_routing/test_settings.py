"""Settings fail closed: a live account without policies, drawdowns out of order, a typing mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.runtime.settings import SettingsProblem
from services.order_routing.adapters.assembly import KeyProblem, explore_of, limits_of, read_credentials
from services.order_routing.settings import Settings

NAMED = {
    "GRPC_PORT": "7001",
    "METRICS_PORT": "7002",
    "KAFKA__BOOTSTRAP": "127.0.0.1:9092",
    "ACCOUNT": "paper",
    "SCOPE": "PAPER",
    "STATE_DIR": "state",
    "VENUE__HTTP_URL": "http://127.0.0.1:7012",
    "VENUE__STREAM_URL": "ws://127.0.0.1:7012/v5/private",
    "VENUE__KEY_FILE": "venue.json",
    "INTEGRITY_KEYS": "a.pub, b.pub",
    "GATE_KEYS": "gate.pub",
}


def load(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    for name, value in (NAMED | changes).items():
        monkeypatch.setenv(f"ORDER_ROUTING_{name}", value)
    return Settings.load()


def test_the_plain_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, RISK__MAX_VECTOR_AGE_MS="1500")
    assert settings.integrity_keys == ("a.pub", "b.pub")
    assert settings.explores
    assert settings.database == "sqlite:///state/journal.sqlite"
    limits = limits_of(settings.risk.model_dump())
    assert limits.max_vector_age_ns == 1_500_000_000
    explore = explore_of(settings.explore.model_dump(), on=True)
    assert explore is not None
    assert explore.quantile == 0.9


@pytest.mark.parametrize(
    ("scope", "on", "explores"),
    [("PAPER", None, True), ("SIMULATED", None, False), ("SIMULATED", "true", True), ("PAPER", "false", False)],
)
def test_exploring_is_for_paper_unless_asked(
    monkeypatch: pytest.MonkeyPatch, scope: str, on: str | None, explores: bool
) -> None:
    asked = {} if on is None else {"EXPLORE__ON": on}
    assert load(monkeypatch, SCOPE=scope, **asked).explores is explores


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"SCOPE": "LIVE"}, "policies whose evidence counts"),
        ({"SCOPE": "LIVE", "POLICIES": "p1", "EXPLORE__ON": "true"}, "never explores"),
        ({"RISK__STOP_AT_DRAWDOWN": "0.5"}, "must rise"),
        ({"RISK__MAX_SPRED_BPS": "5"}, "did you mean ORDER_ROUTING_RISK__MAX_SPREAD_BPS"),
        ({"ACCOUNT": "with space"}, "ACCOUNT"),
        ({"UNIT_NOTIONAL": "-1"}, "UNIT_NOTIONAL"),
    ],
)
def test_what_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsProblem, match=said):
        load(monkeypatch, **changes)


def test_a_key_file_that_is_none_is_named_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "venue.json"
    with pytest.raises(KeyProblem, match=r"venue\.json"):
        read_credentials(file)
    file.write_text('{"key": "k", "secret": ""}')
    with pytest.raises(KeyProblem, match="no key in it"):
        read_credentials(file)
    file.write_text('[{"key": "k", "secret": "very-secret"}]')
    found = read_credentials(file)
    assert found.key == "k"
    assert "very-secret" not in repr(found)
