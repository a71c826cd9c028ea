"""A misspelt value is refused by name, and every value has a meaning."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.runtime.settings import environment_names
from tests.chart.release import CHART, Refused, case_file, merged, of_kind, render, render_text, rendered

VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
SERVICES = ("dataIngestion", "featureStore", "modelServing", "orderRouting", "archive", "exchangeSimulator")
# Maps whose names are the user's own.
FREE = {
    "global",
    "scheduling.nodeSelector",
    "archive.serviceAccountAnnotations",
    "monitoring.serviceMonitor.labels",
    "monitoring.rules.labels",
    "monitoring.dashboards.labels",
    "monitoring.dashboards.annotations",
}
# Told by a secret or the pod's name, or part of the image.
OTHERWISE = {"JOURNAL_URL", "INSTANCE_ID", "TOPICS_FILE"}
# Looked at only where helm speaks to a cluster.
WITH_A_CLUSTER = {"checks.secrets"}

Path_ = tuple[str, ...]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def objects(schema: dict[str, Any], path: Path_ = ()) -> Iterator[tuple[Path_, dict[str, Any]]]:
    """Every object of the schema with the path of its value."""
    schema = resolved(schema)
    if schema.get("type") == "object":
        yield path, schema
        for name, inner in schema.get("properties", {}).items():
            yield from objects(inner, (*path, name))


def leaves(values: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    if isinstance(values, dict) and values:
        for name, inner in values.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, values


def nested(path: Path_, value: Any) -> dict[str, Any]:
    return {path[0]: nested(path[1:], value) if path[1:] else value}


def snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def values_file(folder: Path, values: dict[str, Any]) -> Path:
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


def test_the_schema_closes_every_object() -> None:
    open_ones = {".".join(path) for path, schema in objects(SCHEMA) if schema.get("additionalProperties") is not False}
    assert open_ones == FREE


def test_a_misspelt_name_is_refused_at_every_level_and_named(tmp_path: Path) -> None:
    closed = [path for path, schema in objects(SCHEMA) if schema.get("additionalProperties") is False]
    typos: dict[str, Any] = {}
    for number, path in enumerate(closed):
        typos = merged(typos, nested((*path, f"typo{number}"), 1))
    with pytest.raises(Refused) as refused:
        render(case_file("dev"), values_file(tmp_path, typos))
    said = str(refused.value)
    assert [path for number, path in enumerate(closed) if f"typo{number} is not" not in said] == []
    assert "Additional property" in said


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("kafka.bootstrp=a:1", "kafka.*bootstrp"),
        ("orderRouting.settings.RISK__MAX_ORDER_NOTIONL=5", r"orderRouting.*settings.*RISK__MAX_ORDER_NOTIONL"),
        ("account.live.iUnderstandThatThisTradesRealMony=true", "iUnderstandThatThisTradesRealMony"),
        ("featurestore.replicas=2", "featurestore"),
        ("argo.settings.bar-seconds=2", r"argo.*settings.*bar-seconds"),  # the release has one bar: features.barSeconds
    ],
)
def test_a_likely_typo_is_refused_with_its_name(option: str, named: str) -> None:
    with pytest.raises(Refused, match=named):
        render(case_file("dev"), options=("--set", option))


@pytest.mark.parametrize(
    "option",
    [
        "account.scope=SIMULATE",
        "orderRouting.replicas=2",
        "features.barSeconds=0",
        "archive.size=10",
        "tracing.ratio=2",
        "archive.resources.requests.cpu=0\\,5",
    ],
)
def test_a_value_out_of_its_range_is_refused(option: str) -> None:
    with pytest.raises(Refused, match=option.partition("=")[0].rpartition(".")[2]):
        render(case_file("dev"), options=("--set", option))


DECIMALS = [
    ("archive.rollSeconds", 2.5),
    ("account.unitNotional", 99.5),
    ("exchangeSimulator.initialBalance", 0.25),
    ("tracing.ratio", 0.5),
    ("monitoring.rules.modelMaxAgeDays", 10.5),
]


def test_every_value_that_may_be_decimal_is_known_here() -> None:
    decimals = {path for path, _ in leaves(VALUES) if "number" in schema_of(path).get("type", "")}
    quantities = {path for path in decimals if path[-1] == "cpu"}  # Kubernetes reads both
    assert {".".join(path) for path in decimals - quantities} == {path for path, _ in DECIMALS}


@pytest.mark.parametrize(("path", "value"), DECIMALS)
def test_a_decimal_number_means_the_same_from_the_command_line_and_from_a_file(
    path: str, value: float, tmp_path: Path
) -> None:
    """`--set` knows no floats: it gives helm their texts."""
    file = values_file(tmp_path, nested(tuple(path.split(".")), value))
    from_a_file = render_text(case_file("everything"), file)
    assert from_a_file != render_text(case_file("everything"))
    for text in (str(value), f"{value}0"):
        assert render_text(case_file("everything"), options=("--set", f"{path}={text}")) == from_a_file


@pytest.mark.parametrize("path", [path for path, _ in DECIMALS])
@pytest.mark.parametrize("text", [r"0\,5", "-0.5", "half", "1.5e3", ".5.", "-1"])
def test_what_is_no_such_number_is_refused_as_a_text_too(path: str, text: str) -> None:
    with pytest.raises(Refused, match=path.rpartition(".")[2]):
        render(case_file("everything"), options=("--set", f"{path}={text}"))


@pytest.mark.parametrize("option", ["tracing.ratio=1.5", "account.unitNotional=0.0", "archive.rollSeconds=0"])
def test_a_decimal_number_out_of_its_range_is_refused_as_a_text_too(option: str) -> None:
    with pytest.raises(Refused, match=option.partition("=")[0]):
        render(case_file("everything"), options=("--set", option))


def test_a_large_number_of_a_file_is_written_in_full(tmp_path: Path) -> None:
    """Helm reads them as floats, which print themselves as 2e+06; no --emission-ms and no lagThreshold is that."""
    large: dict[str, Any] = {}
    for path, value in leaves(VALUES):
        if isinstance(value, int) and not isinstance(value, bool):
            most = schema_of(path).get("maximum", 2_000_000)
            large = merged(large, nested(path, min(most, 2_000_000)))
    text = render_text(case_file("everything"), values_file(tmp_path, large))
    assert [line for line in text.splitlines() if re.search(r"\de\+\d", line)] == []


def test_every_value_is_in_the_schema_and_every_name_of_the_schema_in_the_values() -> None:
    shown = {path for path, schema in objects(SCHEMA) if schema.get("properties") and path[-1:] != ("settings",)}
    for path in sorted(shown):
        here: Any = VALUES
        for name in path:
            here = here.get(name, {})
        known = set(dict(objects(SCHEMA))[path]["properties"]) - {"global", "ephemeral-storage"}
        optional = {"cpu", "memory"} if path[-1:] in (("limits",), ("requests",)) else set()
        assert set(here) <= known, path
        assert known - optional <= set(here), path


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_takes_only_settings_that_it_knows_and_all_of_them_can_be_said(service: str) -> None:
    name = snake(service)
    known = set(environment_names(import_module(f"services.{name}.settings").Settings))
    accepted = set(SCHEMA["properties"][service]["properties"]["settings"]["properties"])
    assert accepted <= known
    told = {
        setting.removeprefix(f"{name.upper()}_")
        for case in ("everything", "production")
        for one in of_kind(rendered(case), "ConfigMap")
        if one["metadata"]["name"].endswith(f"-{name.replace('_', '-')}")
        for setting in one["data"]
    }
    whole = {one.partition("__")[0] for one in known if "__" in one}  # a nested one may also be given as JSON
    of_a_venue = {one for one in known if name == "exchange_simulator" and one.startswith("KAFKA")}  # it has no Kafka
    assert known - accepted - told - whole - of_a_venue <= OTHERWISE


def marker(number: int, value: Any, schema: dict[str, Any]) -> Any:
    """Something that the rendered text can be searched for."""
    text, pattern = f"marker{number}e", str(schema.get("pattern", ""))
    if isinstance(value, dict):
        return {next(iter(schema.get("properties", {text: {}}))): text}
    if isinstance(value, list):
        return [text]
    if isinstance(value, int | float):
        return 700_000 + number
    for scheme in ("s3", "http", "ws"):
        if pattern.startswith(f"^({scheme}"):
            return f"{scheme}://{text}:9000"
    return f"{text}:9000" if "\\d+(," in pattern else text


def schema_of(path: Path_) -> dict[str, Any]:
    schema = SCHEMA
    for name in path:
        schema = resolved(schema).get("properties", {}).get(name, {})
    return resolved(schema)


def choices(path: Path_) -> list[Any]:
    """The few values that a switch or a list of names allows; empty for texts and numbers."""
    schema = schema_of(path)
    allowed: list[Any] = [False, True] if schema.get("type") == "boolean" else schema.get("enum", [])
    return allowed


def test_every_value_is_used(tmp_path: Path) -> None:
    """All texts and numbers are marked at once and looked for; what is not found so is changed alone."""
    everything = yaml.safe_load(case_file("everything").read_text())
    found = [(path, value) for path, value in leaves(VALUES) if ".".join(path) not in WITH_A_CLUSTER]
    texts = [(number, path, value) for number, (path, value) in enumerate(found) if not choices(path)]
    marked = everything
    for number, path, value in texts:
        marked = merged(marked, nested(path, marker(number, value, schema_of(path))))
    skip = ("--skip-schema-validation",)
    text = render_text(values_file(tmp_path, marked), options=skip)
    seen = {path for number, path, _ in texts if f"marker{number}e" in text or str(700_000 + number) in text}
    unused = {path for path, _ in found if path not in seen}
    for case in ("everything", "dev", "production"):
        given = yaml.safe_load(case_file(case).read_text())
        before = render_text(values_file(tmp_path, given))
        for number, (path, value) in enumerate(found):
            if path not in unused:
                continue
            if any(changes(before, given, path, one, tmp_path) for one in others(number, path, value, given)):
                unused.remove(path)
    assert unused == set()


def others(number: int, path: Path_, value: Any, given: dict[str, Any]) -> list[Any]:
    """Other values than the one that is given."""
    here: Any = merged(VALUES, given)
    for name in path:
        here = here[name]
    marked = marker(number, value, schema_of(path))
    return [choice for choice in choices(path) if choice != here] or [marked]


def changes(before: str, given: dict[str, Any], path: Path_, value: Any, folder: Path) -> bool:
    """Whether the release is another one, or refused, with that one value."""
    file = values_file(folder, merged(given, nested(path, value)))
    try:
        return render_text(file, options=("--skip-schema-validation",)) != before
    except Refused:
        return True
