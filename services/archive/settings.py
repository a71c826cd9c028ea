"""What the archive is told: where files go and when they are closed."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from libs.runtime.settings import ServiceSettings


class Settings(ServiceSettings):
    """Environment names begin with ARCHIVE_."""

    model_config = SettingsConfigDict(env_prefix="ARCHIVE_")

    folder: str = Field(min_length=1)  # or s3://bucket/prefix, with the usual AWS_* names beside
    takeover_seconds: float = Field(default=10.0, ge=0)
    topics_file: Path = Path("protos/topics.yaml")
    roll_seconds: float = Field(default=5.0, gt=0)
    roll_rows: int = Field(default=50_000, ge=1)
    roll_bytes: int = Field(default=32 * 1024 * 1024, ge=1024)
    accept_holes: bool = False
