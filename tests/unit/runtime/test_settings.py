"""Settings: read from the process's own names, frozen, mistakes named."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings, SettingsProblem

GOOD = {"GRPC_PORT": "5001", "METRICS_PORT": "5002", "KAFKA__BOOTSTRAP": "localhost:9092"}


class Limits(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    max_age_ms: int = 500


class PressSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="PRINTING_PRESS_")
    limits: Limits = Limits()
    accounts: dict[str, str] = Field(default_factory=dict)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in GOOD.items():
        monkeypatch.setenv(f"PRINTING_PRESS_{name}", value)
    return monkeypatch


@pytest.mark.usefixtures("environment")
def test_settings_come_from_the_names_with_the_prefix() -> None:
    settings = PressSettings.load()
    assert (settings.grpc_port, settings.metrics_port, settings.host) == (5001, 5002, "127.0.0.1")
    assert settings.kafka.config().bootstrap == "localhost:9092"
    assert settings.limits.max_age_ms == 500


def test_nested_names_are_joined_by_two_underscores(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PRINTING_PRESS_LIMITS__MAX_AGE_MS", "7")
    environment.setenv("PRINTING_PRESS_KAFKA__CLIENT", "kafka-python")
    settings = PressSettings.load()
    assert settings.limits.max_age_ms == 7
    assert settings.kafka.client == "kafka-python"


def test_an_unknown_name_is_refused_with_the_nearest_known_one(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PRINTING_PRESS_LIMITS__MAX_AGE_MSS", "7")
    environment.setenv("PRINTING_PRESS_GRCP_PORT", "7")
    with pytest.raises(SettingsProblem) as refused:
        PressSettings.load()
    assert "PRINTING_PRESS_GRCP_PORT: unknown, did you mean PRINTING_PRESS_GRPC_PORT?" in str(refused.value)
    assert "did you mean PRINTING_PRESS_LIMITS__MAX_AGE_MS?" in str(refused.value)


def test_a_wrong_value_is_named_as_the_person_wrote_it(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("PRINTING_PRESS_GRPC_PORT", "many")
    environment.setenv("PRINTING_PRESS_KAFKA__CLIENT", "librdkafka")
    with pytest.raises(SettingsProblem) as refused:
        PressSettings.load()
    assert "PRINTING_PRESS_GRPC_PORT" in str(refused.value)
    assert "PRINTING_PRESS_KAFKA__CLIENT" in str(refused.value)


def test_nothing_that_must_be_said_has_a_default(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("PRINTING_PRESS_KAFKA__BOOTSTRAP")
    with pytest.raises(SettingsProblem, match="PRINTING_PRESS_KAFKA"):
        PressSettings.load()


@pytest.mark.parametrize("bootstrap", ["", "localhost", "localhost:", "a:1,", "a:1 b:2"])
def test_a_broker_that_is_no_address_is_named(environment: pytest.MonkeyPatch, bootstrap: str) -> None:
    environment.setenv("PRINTING_PRESS_KAFKA__BOOTSTRAP", bootstrap)
    with pytest.raises(SettingsProblem, match="PRINTING_PRESS_KAFKA__BOOTSTRAP"):
        PressSettings.load()


def test_another_service_s_names_and_entries_of_a_mapping_are_fine(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ORDER_ROUTING_ANYTHING", "1")
    environment.setenv("PRINTING_PRESS_ACCOUNTS__main", "paper")
    assert PressSettings.load().accounts == {"main": "paper"}


@pytest.mark.usefixtures("environment")
def test_settings_are_frozen() -> None:
    settings = PressSettings.load()
    with pytest.raises(ValidationError):
        settings.grpc_port = 1
