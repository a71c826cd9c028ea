"""What the venue is told: where it listens and keeps accounts, what it plays, what it charges."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from libs.runtime.settings import KafkaSettings, ServiceSettings


class Settings(ServiceSettings):
    """Environment names start with EXCHANGE_SIMULATOR_. Without recordings it plays the generator."""

    model_config = SettingsConfigDict(
        env_prefix="EXCHANGE_SIMULATOR_", frozen=True, extra="forbid", env_nested_delimiter="__"
    )

    kafka: KafkaSettings = KafkaSettings.model_construct(bootstrap="")  # a venue knows no Kafka

    http_port: int = Field(ge=1, le=65535)
    state_dir: Path
    key_file: Path
    initial_balance: Decimal = Field(gt=0)  # quote units, when an account is first seen
    symbol: str = "BTCUSDT"

    seed: int = 7
    signal_strength: float = Field(default=1.0, ge=0.0, le=5.0)
    activity: float = Field(default=1.0, ge=0.1, le=100.0)  # of the generated market: 1 is about 28 frames a second
    training_seconds: int = Field(default=1200, ge=0)

    recordings: Annotated[tuple[Path, ...], NoDecode] = ()
    training_fraction: float = Field(default=0.6, gt=0.0, lt=1.0)  # of a single recording's time

    maker_fee_bps: Decimal | None = None  # default: 0 for the generator, 2.0 for a recording
    taker_fee_bps: Decimal | None = None  # default: 1 for the generator, 5.5 for a recording

    play_at_once: bool = False
    faults_allowed: bool = False
    orders_per_second: int = Field(default=10, ge=1)

    @field_validator("recordings", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("recordings")
    @classmethod
    def _at_most_two(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        if len(value) > 2:
            raise ValueError("at most two recordings: the first trains, the second trades")
        return value

    def fee(self, given: Decimal | None, generated: str, recorded: str) -> Decimal:
        """A fee as a fraction of notional."""
        return (given if given is not None else Decimal(recorded if self.recordings else generated)) / 10_000
