"""What data ingestion is told: where the venue is, which symbols to follow, how much may be under way."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Names DATA_INGESTION_...; symbols are comma-separated. The source itself says what it plays, no setting does."""

    model_config = SettingsConfigDict(env_prefix="DATA_INGESTION_")

    http_url: str = Field(pattern=r"^https?://[^/]+/?$")
    stream_url: str = Field(pattern=r"^wss?://[^/]+/?$")
    category: Literal["linear", "inverse", "spot"] = "linear"
    symbols: Annotated[tuple[str, ...], NoDecode] = ()

    max_in_flight_records: int = Field(default=10_000, ge=1, le=50_000)
    max_in_flight_bytes: int = Field(default=16 * 1024 * 1024, ge=65_536, le=48 * 1024 * 1024)

    @field_validator("symbols", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        return value
