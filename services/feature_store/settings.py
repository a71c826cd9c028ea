"""What the feature store is told: intervals, partitions, snapshots and its place in the group."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings, SettingsProblem
from libs.trading.features.catalogue import full_spec
from libs.trading.features.engine import FeatureEngine
from libs.trading.features.spec import FeatureSpec
from libs.trading.market import NS_PER_SECOND


class Settings(ServiceSettings):
    """Environment names begin with FEATURE_STORE_.

    `partitions`: "all" (one replica reads everything), "group" (replicas share; `instance_id` makes membership static),
    or numbers like "0,2".
    """

    model_config = SettingsConfigDict(env_prefix="FEATURE_STORE_")

    bar_seconds: int = Field(default=900, ge=1, le=86_400)
    emission_ms: int = Field(default=1000, ge=50, le=86_400_000)
    snapshot_seconds: float = Field(default=60.0, gt=0.0)
    partitions: str = Field(default="all", pattern=r"^(all|group|\d+(,\d+)*)$")
    group: str = "feature-store"
    instance_id: str | None = None
    max_streams: int = Field(default=8, ge=1, le=12)

    def spec(self) -> FeatureSpec:
        """What is computed. Raises SettingsProblem for intervals that no engine can keep its windows with."""
        spec = full_spec(self.bar_seconds * NS_PER_SECOND, self.emission_ms * 1_000_000)
        try:
            FeatureEngine(spec, "none")
        except ValueError as error:
            raise SettingsProblem(f"feature_store: BAR_SECONDS and EMISSION_MS do not fit: {error}") from error
        return spec

    def partition_numbers(self) -> tuple[int, ...] | None:
        """Partitions to assign; empty is all of them, None is what the group gives."""
        if self.partitions == "group":
            return None
        return () if self.partitions == "all" else tuple(int(number) for number in self.partitions.split(","))
