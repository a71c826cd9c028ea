"""What the documents name is there: links, make's targets, values, metrics, and every alert with its weight."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infra.prepare import ROOT
from libs.runtime.metrics import declared
from tests.chart.release import rendered
from tests.chart.test_monitoring import rules
from tests.chart.test_values import VALUES, leaves

OPERATIONS = ROOT / "docs" / "operations.md"
# Decisions say what was true when they were made.
PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("docs/runbooks/*.md"),
    *ROOT.glob("services/*/README.md"),
    *ROOT.glob("pipelines/*/README.md"),
]
BY_THE_SERVICE_ALONE = "on `alerts` alone"


def words(page: Path) -> Iterator[str]:
    """Every word in backticks, without what is given to it: `a.b=1` is a.b, `m{label}` is m."""
    for quoted in re.findall(r"`([^`\n]+)`", page.read_text()):
        for word in quoted.split():
            yield re.split(r"[={]", word.strip(",;:()"))[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []

    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets

    topics = {row["name"] for row in yaml.safe_load((ROOT / "protos" / "topics.yaml").read_text())["topics"]}
    values = {".".join(path[:depth]) for path, _ in leaves(VALUES) for depth in range(len(path) + 1)}
    named = {word for word in words(page) if re.fullmatch(r"[a-z]\w*(\.[a-z]\w*)+", word) and word not in topics}
    assert {word for word in named if word.split(".")[0] in VALUES} <= values

    owners = "|".join(sorted({name.split("_")[0] for name in declared()}))
    measured = {
        word for word in words(page) if re.fullmatch(rf"({owners})_\w+_(total|seconds|info|ratio|records)", word)
    }
    assert measured <= set(declared())


def test_the_operator_s_page_lists_every_alert_with_its_weight() -> None:
    listed = dict(re.findall(r"^\| \[(\w+)\]\(runbooks/\1\.md\) \| ([^|]+) \|", OPERATIONS.read_text(), re.MULTILINE))
    weights = {rule["alert"]: rule["labels"]["severity"] for rule in rules(rendered("everything"))}
    others = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - set(weights)
    assert listed == weights | dict.fromkeys(others, BY_THE_SERVICE_ALONE)
