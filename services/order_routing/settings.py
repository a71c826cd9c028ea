"""What the router is told: its account, its venue, whom to believe, what it may risk."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from libs.runtime.settings import ServiceSettings, SettingsProblem

Listed = Annotated[tuple[str, ...], NoDecode]


class VenueSettings(BaseModel):
    """Bybit v5 or a simulator that speaks it. `key_file` holds {"key": ..., "secret": ...}."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    http_url: str = Field(pattern=r"^https?://")
    stream_url: str = Field(pattern=r"^wss?://")
    key_file: Path
    category: Literal["linear"] = "linear"
    receive_window_ms: int = Field(default=2_000, ge=100, le=10_000)
    timeout_s: float = Field(default=2.0, gt=0.0, le=30.0)

    @property
    def answer_ms(self) -> int:
        """The longest a request takes: its timeout holds for each of connecting, writing and reading."""
        return int(3_000 * self.timeout_s)


class RiskSettings(BaseModel):
    """Limits of trading-spec 6; ages in ms, notionals in quote units, losses as fractions of equity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_vector_age_ms: int = Field(default=2_000, gt=0, le=60_000)
    max_prediction_age_ms: int = Field(default=1_000, gt=0, le=60_000)
    max_order_notional: Decimal = Field(default=Decimal(50_000), gt=0)
    collar_bps: Decimal = Field(default=Decimal(10), gt=0, le=1_000)
    max_orders_per_second: int = Field(default=10, gt=0)
    max_orders_per_minute: int = Field(default=100, gt=0)
    max_open_orders: int = Field(default=5, gt=0)
    max_position_share: Decimal = Field(default=Decimal("0.2"), gt=0, le=10)
    max_total_notional: Decimal = Field(default=Decimal(500_000), gt=0)
    max_spread_bps: float = Field(default=10.0, gt=0)
    halve_at_drawdown: float = Field(default=0.05, gt=0, lt=1)
    stop_at_drawdown: float = Field(default=0.10, gt=0, lt=1)
    halt_at_drawdown: float = Field(default=0.20, gt=0, lt=1)
    max_daily_loss: float = Field(default=0.05, gt=0, lt=1)

    @model_validator(mode="after")
    def rising(self) -> RiskSettings:
        if not self.halve_at_drawdown <= self.stop_at_drawdown <= self.halt_at_drawdown:
            raise ValueError("drawdowns must rise: halve_at, stop_at, halt_at")
        return self


class ExploreSettings(BaseModel):
    """Trading-spec 7. `on` unset: on for PAPER only; never in LIVE."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    on: bool | None = None
    window: int = Field(default=400, ge=10, le=100_000)
    minimum: int = Field(default=40, ge=10)
    chance: float = Field(default=0.5, gt=0.0, le=1.0)
    seed: int = 42


class Settings(ServiceSettings):
    """Names ORDER_ROUTING_..., nested by `__`; lists are comma-separated."""

    model_config = SettingsConfigDict(env_prefix="ORDER_ROUTING_")

    account: str = Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")
    scope: Literal["SIMULATED", "PAPER", "LIVE"]
    namespace: str = "main"
    state_dir: Path  # holds journal.sqlite unless journal_url names another database
    journal_url: str = ""
    venue: VenueSettings
    instruments: Listed = ()  # empty: what the simulator announces
    integrity_keys: Listed
    gate_keys: Listed
    policies: Listed = ()
    unit_notional: Decimal = Field(default=Decimal(1_000), gt=0)
    risk: RiskSettings = RiskSettings()
    explore: ExploreSettings = ExploreSettings()
    flatten_on_halt: bool = True
    halt_on_foreign: bool = True
    lease_ms: int = Field(default=3_000, ge=200, le=60_000)
    doubt_margin_ms: int = Field(default=1_000, ge=0, le=60_000)
    reconcile_seconds: float = Field(default=1.0, gt=0.0, le=60.0)
    dead_man_seconds: float = Field(default=120.0, ge=0.0)  # without a prediction while something is held; 0: never
    keep_events_days: float = Field(default=7.0, gt=0.0)  # told events, for WatchOrderEvents; the topic keeps its own
    keep_decisions_days: float = Field(default=90.0, gt=0.0)  # without an order; the others stay for ExplainDecision

    @field_validator("instruments", "integrity_keys", "gate_keys", "policies", mode="before")
    @classmethod
    def split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @model_validator(mode="after")
    def fail_closed(self) -> Settings:
        if self.scope == "LIVE" and not self.policies:
            raise ValueError("a LIVE account needs the digests of the policies whose evidence counts")
        if self.scope == "LIVE" and self.explore.on:
            raise ValueError("a LIVE account never explores")
        return self

    @property
    def database(self) -> str:
        return self.journal_url or file_in(self.state_dir)

    @property
    def explores(self) -> bool:
        return self.scope == "PAPER" if self.explore.on is None else self.explore.on


class JournalSettings(BaseSettings):
    """All that the commands on the journal need; what else the router is told is there or not."""

    model_config = SettingsConfigDict(env_prefix="ORDER_ROUTING_", frozen=True, extra="ignore")

    journal_url: str = ""
    state_dir: Path | None = None

    @classmethod
    def load(cls) -> str:
        """The journal's address. Raises SettingsProblem when there is none."""
        told = cls()
        if told.journal_url:
            return told.journal_url
        if told.state_dir is None:
            raise SettingsProblem("order_routing: set ORDER_ROUTING_JOURNAL_URL, or ORDER_ROUTING_STATE_DIR for a file")
        return file_in(told.state_dir)


def file_in(state_dir: Path) -> str:
    return f"sqlite:///{state_dir / 'journal.sqlite'}"
