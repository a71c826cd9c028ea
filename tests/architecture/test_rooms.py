"""Every service and every pipeline has the rooms of the house, and each room imports only what its row allows."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, imports, python_files, tracked_files

SERVICES = ("archive", "data_ingestion", "exchange_simulator", "feature_store", "model_serving", "order_routing")
ALWAYS = {"README.md", "__init__.py", "__main__.py", "settings.py", "adapters"}
ROOMS = ALWAYS | {"grpc_api", "handlers", "ports", "domain"}

# Which of our packages and which libraries a room may import besides the standard library and itself.
TRADING = {"libs.trading", "numpy"}
RIM = {"libs.trading", "libs.wire", "libs.bundle", "libs.runtime", "protos"}
MAY_IMPORT = {
    "libs.trading": {"numpy", "numba"},
    "libs.wire": {"libs.trading", "protos", "pyarrow", "numpy", "google.protobuf"},
    "libs.bundle": {"protos", "numpy", "cryptography"},
    "libs.runtime": {
        "confluent_kafka", "google.protobuf", "google.rpc", "grpc", "grpc_health", "grpc_reflection", "grpc_status",
        "kafka", "opentelemetry", "prometheus_client", "pydantic", "pydantic_settings", "structlog", "yaml",
    },
}  # fmt: skip
OF_A_SERVICE = {
    "domain": TRADING,
    "ports": TRADING,
    "handlers": TRADING,
    "settings": {"libs.runtime.settings", "libs.runtime.kafka", "pydantic", "pydantic_settings"},
    "grpc_api": TRADING | {"libs.runtime", "libs.wire", "protos", "grpc", "google.protobuf"},
    "__main__": RIM | {"grpc"},
}
NEVER_IN_TRADING = {"os", "time", "random", "socket", "secrets", "uuid", "threading", "subprocess", "urllib", "http"}


def room_of(path: Path) -> str:
    return path.parts[2].removesuffix(".py")


def strangers(path: Path, own: str, allowed: set[str]) -> list[str]:
    """What a file imports beyond the standard library, its own package and what its row allows."""
    known = allowed | {own}
    return sorted(
        name
        for name in set(imports(path))
        if name.split(".")[0] not in sys.stdlib_module_names
        and not any(name == one or name.startswith(f"{one}.") for one in known)
    )


def test_the_services_are_these() -> None:
    found = {path.parts[1] for path in tracked_files() if path.parts[0] == "services" and len(path.parts) > 2}
    assert found == set(SERVICES), "a new service is placed here and in the contract of pyproject.toml"


def test_the_contract_of_rooms_names_every_service() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [rooms] = [one for one in contracts if one["name"] == "every service has the same rooms"]
    assert set(rooms["containers"]) == {f"services.{name}" for name in SERVICES}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_rooms_and_no_others(service: str) -> None:
    here = {path.parts[2] for path in tracked_files() if path.parts[:2] == ("services", service)}
    assert here >= ALWAYS
    assert {name if name in ALWAYS else name.removesuffix(".py") for name in here} <= ROOMS


@pytest.mark.parametrize("path", python_files("libs"), ids=str)
def test_a_library_imports_what_its_row_allows(path: Path) -> None:
    if len(path.parts) > 2:
        own = f"libs.{path.parts[1]}"
        assert strangers(path, own, MAY_IMPORT[own]) == []


@pytest.mark.parametrize("path", python_files("services"), ids=str)
def test_a_room_of_a_service_imports_what_its_row_allows(path: Path) -> None:
    if len(path.parts) > 2 and room_of(path) in OF_A_SERVICE:
        assert strangers(path, f"services.{path.parts[1]}", OF_A_SERVICE[room_of(path)]) == []


@pytest.mark.parametrize("path", [path for path in python_files("libs") if path.parts[1] == "trading"], ids=str)
def test_trading_has_no_clock_no_randomness_and_no_io(path: Path) -> None:
    names = set(imports(path))
    assert {name.split(".")[0] for name in names} & NEVER_IN_TRADING == set()
    assert not any(name.startswith("numpy.random") for name in names)
    text = (ROOT / path).read_text()
    assert "np.random" not in text
    assert "open(" not in text.replace("_open(", "")


@pytest.mark.parametrize("path", python_files("libs", "services"), ids=str)
def test_labels_look_ahead_so_nothing_live_imports_them(path: Path) -> None:
    may = path.parts[:2] == ("libs", "trading") and path.stem in ("labels", "backtest")
    assert may or not any(name.startswith("libs.trading.labels") for name in imports(path))


def test_every_package_says_that_it_is_one() -> None:
    folders = {path.parent for path in python_files("libs", "services", "pipelines", "infra")}
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").exists()] == []
