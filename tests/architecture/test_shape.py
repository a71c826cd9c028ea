"""Files and functions stay small, say what they are, and nothing of one machine is written into them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.tree import CODE, ROOT, code_lines, imports, parsed, python_files, tracked_files

MAX_FILE = 400
MAX_FUNCTION = 50
MAX_MAIN = 80
MAX_FLOOR = 900
MAX_PROGRAM_OF_THE_FLOOR = 100
MAX_SERVICE_README = 30

CLIENTS = {
    "aiohttp", "asyncpg", "ccxt", "confluent_kafka", "httpx", "kafka", "kubernetes", "mlflow", "psycopg", "pyarrow",
    "requests", "sqlalchemy", "websockets", "onnxruntime", "lightgbm", "xgboost", "catboost", "argo_workflows",
    "hera", "boto3",
}  # fmt: skip
WAITING = Path("libs/runtime/waiting.py")
EMPTY_NAMES = {"manager", "helper", "helpers", "util", "utils", "common", "base", "misc", "data2"}
ALL_PYTHON = python_files(*CODE, "tests")
CODE_PYTHON = python_files(*CODE)
ADAPTERS = [path for path in CODE_PYTHON if "adapters" in path.parts]


@pytest.mark.parametrize("path", ALL_PYTHON, ids=str)
def test_a_file_begins_with_one_sentence(path: Path) -> None:
    if not (ROOT / path).read_text():
        return
    text = ast.get_docstring(parsed(path))
    assert text, "no docstring on top"
    first = text.split("\n\n")[0].replace("\n", " ")
    assert re.fullmatch(r".*[^.]", first) is None, f"no full stop: {first}"
    assert not re.search(r"[a-z)`]\. [A-Z]", first), f"more than one sentence: {first}"


@pytest.mark.parametrize("path", ALL_PYTHON, ids=str)
def test_files_and_functions_stay_small(path: Path) -> None:
    lines = len((ROOT / path).read_text().splitlines())
    assert lines <= MAX_FILE, f"{lines} lines: split it"
    long = [
        f"{node.name} ({(node.end_lineno or 0) - node.lineno + 1})"
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MAX_FUNCTION
    ]
    assert long == [], "functions over the limit"


@pytest.mark.parametrize("path", [path for path in CODE_PYTHON if path.name == "__main__.py"], ids=str)
def test_wiring_stays_wiring(path: Path) -> None:
    if path.parts[0] == "services":
        assert len((ROOT / path).read_text().splitlines()) <= MAX_MAIN


def test_the_floor_stays_small() -> None:
    files = [path for path in CODE_PYTHON if path.parts[:2] == ("libs", "runtime") and path != WAITING]
    assert sum(code_lines(path) for path in files) <= MAX_FLOOR


def test_the_wait_before_a_service_is_a_small_program_that_nothing_imports() -> None:
    assert code_lines(WAITING) <= MAX_PROGRAM_OF_THE_FLOOR
    assert [
        path for path in CODE_PYTHON if any(name.startswith("libs.runtime.waiting") for name in imports(path))
    ] == []


@pytest.mark.parametrize("path", ADAPTERS, ids=str)
def test_an_adapter_file_knows_one_client_library(path: Path) -> None:
    used = {name.split(".")[0] for name in imports(path)} & CLIENTS
    assert len(used) <= 1, used


@pytest.mark.parametrize("path", CODE_PYTHON, ids=str)
def test_clients_are_opened_at_the_rim(path: Path) -> None:
    rim = {"adapters", "infra", "runtime", "wire", "workflow", "__main__.py"} & set(path.parts)
    allowed = {"pyarrow"} if path.parts[0] == "pipelines" else set()
    used = {name.split(".")[0] for name in imports(path)} & CLIENTS
    assert rim or used <= allowed, used


@pytest.mark.parametrize("path", ALL_PYTHON, ids=str)
def test_names_say_what_a_thing_is(path: Path) -> None:
    parts = {word for part in path.parts for word in part.removesuffix(".py").split("_")}
    assert not parts & EMPTY_NAMES
    classes = [node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.ClassDef)]
    assert not [name for name in classes if re.search(r"(Manager|Helper|Util|Utils|Base)$", name)]


@pytest.mark.parametrize(
    "path", [path for path in tracked_files() if path.parts[0] == "services" and path.name == "README.md"], ids=str
)
def test_the_readme_of_a_service_is_short(path: Path) -> None:
    assert len((ROOT / path).read_text().splitlines()) <= MAX_SERVICE_README


@pytest.mark.parametrize("path", CODE_PYTHON, ids=str)
def test_nothing_reads_the_environment_at_import(path: Path) -> None:
    calls = [
        node
        for statement in parsed(path).body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
    ]
    assert calls == []


@pytest.mark.parametrize("path", tracked_files(), ids=str)
def test_nothing_of_one_machine_or_one_registry_is_written_down(path: Path) -> None:
    try:
        text = (ROOT / path).read_text()
    except UnicodeDecodeError:
        return
    if path == Path("tests/architecture/test_shape.py"):
        return
    found = re.findall(r"(?<![\w.])(?:/work/|/root/|/home/\w+/)\S*", text)
    found += re.findall(r"(?m)^\s*--(?:extra-)?index-url.*|^\s*--find-links.*", text)
    if path.parts[0] in ("requirements", "infra") or path.name == "pyproject.toml":
        # an example name in a test is no address; these files configure where packages come from
        found += re.findall(
            r"https?://(?!127\.0\.0\.1|localhost|maven\.apache\.org/(?:POM|xsd)/|www\.w3\.org/|\{)\S+", text
        )
    assert found == []
