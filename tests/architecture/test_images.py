"""An image holds every module that its programs import, and no package that none of them does."""

from __future__ import annotations

import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.architecture.tree import CODE, GENERATED, ROOT, imports, python_files

OURS = (*CODE, "protos")
SERVICES = tuple(sorted(path.parent.name.replace("_", "-") for path in ROOT.glob("services/*/__main__.py")))
IMAGES = (*SERVICES, "pipelines")
DOCKERFILES = (Path("services/Dockerfile"), Path("pipelines/Dockerfile"), Path("infra/mlflow/Dockerfile"))
GROUPS = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
# What no import shows: who asks for it, and where.
BY_NAME = {
    "crc32c": "kafka-python, when it is there",
    "lz4": "kafka-python, when it is there",
    "onnxruntime": "instead of onnxruntime-gpu on other machines",
    "psycopg": "SQLAlchemy, by the database's address",
}
# The floor as a whole, also for the image that uses a part of it.
FLOOR = {re.split(r"[^a-z0-9-]", row)[0] for row in GROUPS["runtime"]}


def programs(image: str) -> list[Path]:
    """The files that are run or may be run in an image."""
    if image != "pipelines":
        own = python_files("services")
        waiting = [path for path in python_files("libs") if path == Path("libs/runtime/waiting.py")]
        return [path for path in own if path.parts[1] == image.replace("-", "_")] + waiting
    infra = [path for path in python_files("infra") if path.parts[1] in ("kafka", "cluster", "kernels")]
    return python_files("pipelines") + infra


@cache
def reached(image: str) -> tuple[frozenset[Path], frozenset[str]]:
    """Our files and the foreign modules that an image's programs import, also inside functions, in whatever depth."""
    todo = programs(image)
    files, foreign = set(todo), set()
    while todo:
        for name in imports(todo.pop()):
            if name.split(".")[0] not in OURS:
                foreign.add(name)
            elif (file := file_of(name)) and file not in files:
                files.add(file)
                todo.append(file)
    return frozenset(files), frozenset(name for name in foreign if name.split(".")[0] not in sys.stdlib_module_names)


def file_of(name: str) -> Path | None:
    """The file behind `a.b.c`: a module, a package, or the one of them that holds the name c."""
    for path in prefixes(name):
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if (ROOT / file).exists():
                return None if file.name.endswith(GENERATED) else file
    return None


def prefixes(name: str) -> Iterator[Path]:
    parts = name.split(".")
    return (Path(*parts[:length]) for length in range(len(parts), 0, -1))


@cache
def owners() -> dict[str, set[str]]:
    """Which installed distributions bring a file, by its path without suffix."""
    found: dict[str, set[str]] = {}
    for distribution in distributions():
        owner = re.sub(r"[-_.]+", "-", distribution.name).lower()
        record = distribution.read_text("RECORD") or ""  # as text: a hundred thousand paths take seconds to be made
        for module in re.findall(r"^([\w/-]+?)(?:/__init__)?\.(?:[\w.-]+\.)?(?:py|so)(?=,)", record, re.MULTILINE):
            found.setdefault(module, set()).add(owner)
    return found


def brought_by(name: str) -> set[str]:
    """Every distribution that has the module behind a foreign name."""
    return next((owners()[str(path)] for path in prefixes(name) if str(path) in owners()), set())


def locked(group: str) -> set[str]:
    text = (ROOT / "requirements" / f"{group}.txt").read_text()
    return set(re.findall(r"^([a-z0-9-]+)(?:\[[^]]*\])?==", text, re.MULTILINE))


def asked_for(group: str) -> set[str]:
    names = set()
    for row in GROUPS[group]:
        if isinstance(row, dict):
            names |= asked_for(row["include-group"])
        else:
            names.add(re.split(r"[^a-z0-9-]", row)[0])
    return names


def sent_to_the_builder(file: Path) -> bool:
    """What .dockerignore lets through: the last line that matches a file or a folder above it decides."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!")
        paths = (str(file), *map(str, file.parents))
        if (
            line
            and not line.startswith("#")
            and any(fnmatch.fnmatch(path, pattern.replace("**/", "*")) for path in paths)
        ):
            sent = line.startswith("!")
    return sent


@pytest.mark.parametrize("image", IMAGES)
def test_every_module_that_an_image_imports_is_in_its_lock(image: str) -> None:
    _, foreign = reached(image)
    has = locked(image)
    assert sorted(name for name in foreign if not brought_by(name) & has) == []


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_is_asked_for_that_an_image_does_not_import(image: str) -> None:
    _, foreign = reached(image)
    used = set().union(*map(brought_by, foreign))
    floor = FLOOR if image == "pipelines" else set()
    assert sorted(asked_for(image) - used - set(BY_NAME) - floor) == []


@pytest.mark.parametrize("image", IMAGES)
def test_every_file_that_an_image_imports_is_copied_into_it(image: str) -> None:
    files, _ = reached(image)
    rooms = ("libs", "protos", "pipelines", "infra") if image == "pipelines" else ("libs", "protos", "services")
    left_out = [file for file in files if file.parts[0] not in rooms or not sent_to_the_builder(file)]
    assert [str(file) for file in sorted(left_out)] == []


@pytest.mark.parametrize("image", SERVICES)
def test_services_have_no_boosters_and_no_registry_and_only_the_features_have_a_compiler(image: str) -> None:
    has = locked(image)
    assert (
        has & {"lightgbm", "xgboost", "xgboost-cpu", "catboost", "mlflow", "mlflow-skinny", "pandas", "scipy"} == set()
    )
    assert ("numba" in has) == (image == "feature-store")
    assert ("onnxruntime-gpu" in has) == (image == "model-serving")


def test_what_only_a_builder_needs_is_in_no_image() -> None:
    for group in (*IMAGES, "mlflow"):
        assert locked(group) & {"grpcio-tools", "pytest", "mypy", "setuptools"} == set(), group


def test_generated_code_secrets_and_tests_are_not_sent_to_the_builder() -> None:
    kept_out = (
        "protos/orders/v1/orders_pb2.py",
        "tests/conftest.py",
        ".state/keys/gate.private.pem",
        ".git/HEAD",
        ".env",
    )
    assert [name for name in kept_out if sent_to_the_builder(Path(name))] == []


def stages(dockerfile: Path) -> list[list[str]]:
    """A Dockerfile's instructions, continued lines joined, by stage; what stands before the first one is left out."""
    text = (ROOT / dockerfile).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[start:end] for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)]


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=str)
def test_the_base_is_an_argument_of_every_stage(dockerfile: Path) -> None:
    text = (ROOT / dockerfile).read_text()
    first = next(line for line in text.splitlines() if line and not line.startswith("#"))
    assert first.startswith("ARG BASE=")
    assert {stage[0].split()[1] for stage in stages(dockerfile)} == {"${BASE}"}


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=str)
def test_an_image_runs_as_a_numeric_user_without_rights(dockerfile: Path) -> None:
    final = stages(dockerfile)[-1]
    [user] = [line for line in final if line.startswith("USER ")]
    assert user == "USER 10001:10001"
    after = final[final.index(user) :]
    assert not any(line.startswith(("RUN", "COPY")) for line in after), "nothing is made by or for root after that"


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=str)
def test_the_final_stage_installs_no_packages_and_knows_no_index(dockerfile: Path) -> None:
    final = "\n".join(stages(dockerfile)[-1])
    assert "pip" not in re.sub(r"pipelines", "", final).lower()


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=str)
def test_packages_are_checked_by_their_hashes(dockerfile: Path) -> None:
    installs = [line for stage in stages(dockerfile) for line in stage if " install " in line and "pip" in line]
    assert installs
    assert all("--require-hashes" in line for line in installs)


def test_messages_are_generated_in_the_same_way_for_both_images() -> None:
    """Two files, each whole by itself; what stands in both is held together here."""
    services, pipelines = (stages(dockerfile)[0] for dockerfile in DOCKERFILES[:2])
    assert services[0] == "FROM ${BASE} AS messages"
    assert services == pipelines


def test_kernels_are_baked_and_run_for_the_same_pinned_machine() -> None:
    names = ("NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
    said = [
        tuple(dict(re.findall(r"(\w+)=(\S+)", line))[name] for name in names)
        for dockerfile in DOCKERFILES[:2]
        for stage in stages(dockerfile)
        for line in stage
        if line.startswith("ENV ") and "NUMBA_CPU_NAME" in line
    ]
    assert len(said) == 4, "where they are compiled and where they run, in both files"
    assert len(set(said)) == 1
