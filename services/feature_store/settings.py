"""What the feature store is told: intervals, partitions, snapshots and its place in the group."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


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

    def partition_numbers(self) -> tuple[int, ...] | None:
        """Partitions to assign; empty is all of them, None is what the group gives."""
        if self.partitions == "group":
            return None
        return () if self.partitions == "all" else tuple(int(number) for number in self.partitions.split(","))
