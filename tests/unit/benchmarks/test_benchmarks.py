"""Benchmarks run seldom: that each can still be loaded, and begins where `make bench` begins it, is seen here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

FILES = sorted((Path(__file__).parents[2] / "benchmarks").glob("[!_]*.py"))


@pytest.mark.parametrize("name", [file.stem for file in FILES])
def test_a_module_of_the_benchmarks_can_be_loaded(name: str) -> None:
    loaded = importlib.import_module(f"tests.benchmarks.{name}")
    if name.endswith("_bench"):
        assert callable(loaded.main)
