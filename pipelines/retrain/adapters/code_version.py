"""Names the code that makes a model by its content, so that a copied or edited tree says so too."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[3]
WHAT_SHAPES_A_MODEL = ("libs/trading", "libs/bundle", "pipelines/retrain")


def code_version() -> str:
    """16 hex digits over path and content of every Python file that shapes a model."""
    total = hashlib.sha256()
    for folder in WHAT_SHAPES_A_MODEL:
        for path in sorted((ROOT / folder).rglob("*.py")):
            total.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return total.hexdigest()[:16]
