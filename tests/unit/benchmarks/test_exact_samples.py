"""A service under measure runs as it is, and every value that it observed is in the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.benchmarks.exact_samples import samples_in

ROOT = Path(__file__).parents[3]
SERVICE = """
import sys
from prometheus_client import Histogram

hops = Histogram("hops_seconds", "hops", ["hop"], buckets=[1])
hops.labels("decide").observe(0.125)
hops.labels("send").observe(0.25)
Histogram("fetches_seconds", "fetches").observe(3)
print(__name__, *sys.argv[1:])
sys.exit(7)
"""


def test_it_sees_its_own_arguments_only_and_every_value_is_written_when_it_ends(tmp_path: Path) -> None:
    (tmp_path / "a_service.py").write_text(SERVICE)
    written, path = tmp_path / "samples", os.pathsep.join([str(ROOT), str(tmp_path)])
    argv = [sys.executable, "-m", "tests.benchmarks.exact_samples", "a_service", str(written), "migrate", "--to=1"]
    ended = subprocess.run(
        argv, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout.strip()) == (7, "__main__ migrate --to=1"), ended.stderr
    samples = list(samples_in(written))
    assert [(sample.metric, sample.labels, sample.value) for sample in samples] == [
        ("hops_seconds", ("decide",), 0.125),
        ("hops_seconds", ("send",), 0.25),
        ("fetches_seconds", (), 3.0),
    ]
    assert [sample.at_ns for sample in samples] == sorted(sample.at_ns for sample in samples)
