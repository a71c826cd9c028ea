"""Settings are complete, typed, and typing mistakes are named."""

from __future__ import annotations

import pytest

from libs.runtime.settings import SettingsProblem
from services.model_serving.settings import Settings

GOOD = {
    "GRPC_PORT": "5001",
    "METRICS_PORT": "5002",
    "KAFKA__BOOTSTRAP": "localhost:9092",
    "MLFLOW_URI": "http://localhost:5000",
    "REQUIRED_SCOPE": "PAPER",
    "INTEGRITY_KEYS": "a.pem, b.pem",
    "GATE_KEYS": "g.pem",
    "BAR_INTERVAL_NS": "1000000000",
    "EMISSION_INTERVAL_NS": "250000000",
    "CACHE_FOLDER": "models",
}


def load(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> Settings:
    for name, value in {**GOOD, **changes}.items():
        if value is None:
            monkeypatch.delenv(f"MODEL_SERVING_{name}", raising=False)
        else:
            monkeypatch.setenv(f"MODEL_SERVING_{name}", value)
    return Settings.load()


def test_lists_are_separated_by_commas_and_no_policy_is_named_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)
    assert settings.integrity_keys == ("a.pem", "b.pem")
    assert settings.gate_keys == ("g.pem",)
    assert settings.policies == ()
    assert settings.model_name == "ProductionEnsemble"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("REQUIRED_SCOPE", None, "REQUIRED_SCOPE"),
        ("REQUIRED_SCOPE", "NONE", "REQUIRED_SCOPE"),
        ("MLFLOW_URI", "sqlite:///x", "MLFLOW_URI"),
        ("INTEGRITY_KEYS", None, "INTEGRITY_KEYS"),
        ("EMISSION_INTERVAL_NS", "0", "EMISSION_INTERVAL_NS"),
        ("POLL_SECONDS", "0", "POLL_SECONDS"),
        ("POLL_SECOND", "1", "did you mean MODEL_SERVING_POLL_SECONDS"),
    ],
)
def test_a_wrong_missing_or_unknown_name_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, said: str
) -> None:
    with pytest.raises(SettingsProblem, match=said):
        load(monkeypatch, **{name: value})
