"""Kernels of an image: found where they were baked, copied where that is read-only, compiled where there are none."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra.kernels import locator
from tests.architecture.tree import imports

PINNED = {
    "NUMBA_CPU_NAME": "x86-64-v2",
    "NUMBA_CPU_FEATURES": "+sse4.2",
    "NUMBA_CACHE_LOCATOR_CLASSES": "infra.kernels.locator.BakedKernels",
    "NUMBA_DEBUG_CACHE": "1",
}
# A kernel of its own, so that the test compiles for a second and not for twenty.
PROGRAM = """
from numba import njit
@njit(cache=True)
def twice(x): return 2 * x
assert twice(2) == 4
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return file


def run(program: Path, cache: Path, temporary: Path, cpu: str = "x86-64-v2") -> str:
    """What numba says of its cache."""
    temporary.mkdir(exist_ok=True)
    told = PINNED | {"NUMBA_CACHE_DIR": str(cache), "TMPDIR": str(temporary), "NUMBA_CPU_NAME": cpu}
    argv = [sys.executable, str(program)]
    env = {**os.environ, **told, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.run(argv, env=env, capture_output=True, text=True, check=True).stdout


def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only root, which no chmod makes for root: the folder's probe fails, as on a read-only file system."""

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("infra.kernels.locator.tempfile.TemporaryFile", refuse)


def baked_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "kernels" / "features_0123"
    folder.mkdir(parents=True)
    (folder / "a.nbi").write_bytes(b"index")
    return folder


def test_what_was_baked_is_loaded_and_nothing_is_compiled(program: Path, tmp_path: Path) -> None:
    assert "data saved" in run(program, tmp_path / "kernels", tmp_path / "tmp")
    again = run(program, tmp_path / "kernels", tmp_path / "tmp")
    assert "data loaded" in again
    assert "saved" not in again


def test_kernels_of_another_machine_are_not_taken(program: Path, tmp_path: Path) -> None:
    run(program, tmp_path / "kernels", tmp_path / "tmp")
    assert "data saved" in run(program, tmp_path / "kernels", tmp_path / "tmp", cpu="x86-64")


def test_on_a_read_only_root_a_copy_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = baked_folder(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kernels = locator.BakedKernels.__new__(locator.BakedKernels)
    kernels._cache_path = str(folder)
    unwritable(monkeypatch)
    kernels.ensure_cache_path()
    copy = Path(kernels._cache_path)
    assert copy != folder
    assert (copy / "a.nbi").read_bytes() == b"index"
    assert os.access(copy, os.W_OK)


def test_two_processes_at_once_make_one_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = baked_folder(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    copies: list[Path] = []
    threads = [threading.Thread(target=lambda: copies.append(locator.writable_copy(folder))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(copies) == 8
    assert len(set(copies)) == 1
    assert [path.name for path in copies[0].parent.iterdir()] == [folder.name], "nothing is left half-made"


def test_without_baked_kernels_the_copy_is_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert list(locator.writable_copy(tmp_path / "absent").iterdir()) == []


def test_the_locator_imports_nothing_of_ours() -> None:
    names = imports(Path("infra/kernels/locator.py"))
    assert [name for name in names if name.split(".")[0] in ("libs", "protos", "services", "pipelines")] == []


def test_baking_refuses_a_machine_that_is_not_named() -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run([sys.executable, "-m", "infra.kernels"], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "set NUMBA_CACHE_DIR, NUMBA_CPU_NAME, NUMBA_CPU_FEATURES" in done.stderr
