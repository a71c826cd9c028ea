"""Renders the templates into the chart's files, byte for byte the same each time."""

from __future__ import annotations

from pathlib import Path

from pipelines.retrain.workflow.template import retrain_cron, retrain_template

FOLDER = Path(__file__).parents[3] / "charts" / "trading-platform" / "files"
HEAD = (
    "# Rendered from pipelines/retrain/workflow by `python -m pipelines.retrain workflow render`: not to be edited.\n"
)


def rendered() -> dict[Path, str]:
    """The text of each file."""
    return {
        FOLDER / "retrain-template.yaml": HEAD + retrain_template().to_yaml(),
        FOLDER / "retrain-cron.yaml": HEAD + retrain_cron().to_yaml(),
    }


def stale() -> list[Path]:
    """The files that are not what would be rendered now."""
    return [path for path, text in rendered().items() if not path.exists() or path.read_text() != text]


def write() -> list[Path]:
    for path, text in rendered().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(rendered())
