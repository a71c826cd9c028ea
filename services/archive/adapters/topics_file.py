"""Reads which topics are marked for the archive from the one list of topics."""

from __future__ import annotations

from pathlib import Path

import yaml


def archived_topics(path: Path) -> list[str]:
    """Names of the topics with `archive: true`. Raises OSError or KeyError for a file that is not the list."""
    return [row["name"] for row in yaml.safe_load(path.read_text())["topics"] if row["archive"]]
