"""`python -m infra.demo` as a person runs it: what it prints last, how it exits, and that it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infra.demo.environment import PORT_OFFSETS
from infra.demo.scrape import Scraper
from tests.builders.processes import is_running
from tests.e2e.drive import ROOT, free_base

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

L2 = "binance_l2_hftbacktest_2024"


class Command:
    """One run of the demo in the background, its output in a file."""

    def __init__(self, state: Path, *options: str) -> None:
        self._state = state
        self._output = state.parent / "demo.out"
        base = free_base()
        self._router = Scraper({"order_routing": base + PORT_OFFSETS["order_routing_metrics"]})
        argv = [sys.executable, "-m", "infra.demo", "--state", str(state), "--port-base", str(base), *options]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(argv, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def pids(self) -> dict[str, int]:
        files = list(self._state.glob("*/processes.json"))
        return dict(json.loads(files[0].read_text())) if files else {}

    def until_said(self, words: str, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while words not in self.output:
            assert self.process.poll() is None, f"it ended before it said {words!r}:\n{self.output[-3000:]}"
            assert time.monotonic() < limit, f"it did not say {words!r} within {seconds:.0f} s:\n{self.output[-3000:]}"
            time.sleep(0.5)

    def until_filled(self, origin: str, seconds: float) -> None:
        """Until an order of this origin was filled and the demo, which looks once a second, has seen it too."""
        limit = time.monotonic() + seconds
        while not self._router.scrape().total("order_routing_fills_total", origin=origin):
            assert time.monotonic() < limit, f"no fill of {origin} within {seconds:.0f} s:\n{self.output[-3000:]}"
            time.sleep(0.5)
        time.sleep(5.0)

    def ends(self, seconds: float) -> tuple[int, dict[str, Any]]:
        """The exit code and the summary on the last line."""
        try:
            code = self.process.wait(seconds)
        finally:
            self.process.kill()
        return code, json.loads(self.output.strip().splitlines()[-1])


def test_without_a_signal_the_gate_refuses_and_nothing_is_ordered(tmp_path: Path) -> None:
    command = Command(tmp_path / "state", "--signal", "0")
    code, summary = command.ends(400)
    assert code == 2
    assert sum(summary["orders"].values()) == 0
    assert any(reason.startswith("direction:") for reason in summary["refused_by_gate"])
    assert summary["provenance"] == "SIMULATED"


def test_a_recording_is_explored_ctrl_c_leaves_nothing_and_a_second_start_goes_on(
    tmp_path: Path, data_dir: Path
) -> None:
    files = ",".join(str(data_dir / L2 / f"spot_btcusdt_2024080{day}.gz") for day in (8, 9))
    first = Command(tmp_path / "state", "--recording", files)
    first.until_said("trading", 300)
    first.until_filled("EXPLORATION", 240)
    pids = first.pids()
    first.process.send_signal(signal.SIGINT)
    code, summary = first.ends(60)
    assert code == 0, summary
    assert summary["fills"]["exploring"] > 0
    assert summary["fills"]["model"] == 0
    assert summary["models"][0]["role"] == "challenger"
    assert {"kafka", "mlflow", "order_routing"} <= set(pids)
    assert not [name for name, pid in pids.items() if is_running(pid)]

    second = Command(tmp_path / "state", "--recording", files, "--seconds", "20")
    code, again = second.ends(200)
    assert again["models"][0]["version"] == "1", "the model of the first start is served again"
    assert again["predictions"] > 0
    assert again["refused_by_gate"] == [], "nothing was trained a second time"
    assert again["equity_quote"] is not None
