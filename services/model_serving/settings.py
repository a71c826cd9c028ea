"""What model serving is told: the registry, whom to believe, the feature spec in force, and where to keep bundles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from libs.runtime.settings import ServiceSettings

Listed = Annotated[tuple[str, ...], NoDecode]


class Settings(ServiceSettings):
    """Names MODEL_SERVING_...; lists are comma-separated. Intervals in ns must be the feature store's."""

    model_config = SettingsConfigDict(env_prefix="MODEL_SERVING_")

    mlflow_uri: str = Field(pattern=r"^https?://")
    model_name: str = "ProductionEnsemble"
    poll_seconds: float = Field(default=2.0, gt=0.0, le=300.0)
    required_scope: Literal["SIMULATED", "PAPER", "LIVE"]  # the highest of the accounts that are served
    integrity_keys: Listed  # files of public keys: whose integrity verdicts count
    gate_keys: Listed  # whose evidence verdicts count
    policies: Listed = ()  # digests of policies whose evidence counts; none named: any, but never for LIVE
    bar_interval_ns: int = Field(gt=0)
    emission_interval_ns: int = Field(gt=0)
    cache_folder: Path
    # Static membership of the consumer group, one name per replica: a killed process gets its partitions back at once.
    instance_id: str = "model_serving-0"

    @field_validator("integrity_keys", "gate_keys", "policies", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value
