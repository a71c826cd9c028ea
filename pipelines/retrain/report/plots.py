"""The report as one page of plots: equity, drawdown, calibration, and the intervals of the net profit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipelines.retrain.report.contents import FORCED

Json = Mapping[str, Any]

MODEL, COSTLY = "#0b3d91", "#6f9bd8"
OTHERS = ("#9e9e9e", "#c26a00", "#7a5195", "#2e7d32", "#b71c1c")
FORCED_COLOUR = "#00838f"
LONG_SPAN_NS = 3 * 86_400 * 10**9


def write_page(report: Json, path: Path) -> None:
    """Write the page as PNG (1500 x 1050 pixels)."""
    figure = Figure(figsize=(15, 10.5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2, width_ratios=(2, 1), height_ratios=(3, 2))
    verdict = report["verdict"]
    answer = f"evidence for {verdict['scope']}" if verdict["evidence"] else "evidence refused"
    integrity = "integrity holds" if verdict["integrity"] else "integrity refused"
    figure.suptitle(
        f"{report['bundle_digest'][:16]} under '{report['policy']['name']}', {report['data']['provenance']} data: "
        f"{integrity}, {answer}",
        fontsize=14,
    )
    x, unit = _axis_of_time(report)
    _equity(axes[0, 0], report, x, unit)
    _calibration(axes[0, 1], report)
    _drawdown(axes[1, 0], report, x, unit)
    _profits(axes[1, 1], report)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Software": ""})


def _axis_of_time(report: Json) -> tuple[NDArray[np.float64], str]:
    times = np.array(report["plots"]["times_ns"], dtype=np.int64)
    begin = datetime.fromtimestamp(int(times[0]) // 10**9, UTC)
    length, unit = (86_400e9, "days") if times[-1] - times[0] > LONG_SPAN_NS else (60e9, "minutes")
    return (times - times[0]) / length, f"{unit} after {begin:%Y-%m-%d %H:%M:%S} UTC"


def _colours(report: Json) -> dict[str, str]:
    names = [run["name"] for run in report["runs"] if run["name"] in report["plots"]["equity"]]
    others = [name for name in names[2:] if name != FORCED]
    forced = {FORCED: FORCED_COLOUR} if FORCED in names else {}
    return {names[0]: MODEL, names[1]: COSTLY, **forced, **dict(zip(others, OTHERS, strict=False))}


def _equity(ax: Axes, report: Json, x: NDArray[np.float64], unit: str) -> None:
    for name, colour in reversed(_colours(report).items()):
        bold = name.startswith("model")
        ax.plot(
            x,
            report["plots"]["equity"][name],
            color=colour,
            lw=2.2 if bold else 1.1,
            label=name,
            ls="-" if bold else "--",
        )
    lowest = min(min(curve) for curve in report["plots"]["equity"].values())
    if lowest < 0.0:
        ax.set_ylim(bottom=0.0)  # an account has nothing below
    ax.set(title="Equity, marked to market (outer hold-out)", ylabel="quote units", xlabel=unit)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles[::-1], labels[::-1], loc="best", fontsize=9)
    ax.grid(alpha=0.3)


def _drawdown(ax: Axes, report: Json, x: NDArray[np.float64], unit: str) -> None:
    curve = np.array([report["terms"]["balance_quote"], *report["plots"]["equity"]["model"]])
    fall = (curve / np.maximum.accumulate(curve) - 1.0)[1:] * 100
    ax.fill_between(x, fall, 0.0, color=MODEL, alpha=0.35, lw=0)
    ax.plot(x, fall, color=MODEL, lw=1)
    ax.set_ylim(min(-0.1, 1.05 * float(fall.min())), 0.02 * max(0.1, -float(fall.min())))
    ax.set(title="Drawdown of the model", ylabel="% below the highest equity", xlabel=unit)
    ax.grid(alpha=0.3)


def _calibration(ax: Axes, report: Json) -> None:
    for (name, points), colour in zip(report["plots"]["calibration"].items(), ("#b71c1c", "#2e7d32"), strict=True):
        said, happened, _ = zip(*points, strict=True)
        ax.plot(said, happened, "o-", color=colour, label=f"p_{name}", ms=5)
    top = max(0.05, ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot((0, top), (0, top), color="black", lw=0.8, ls=":", label="perfect")
    ax.set(title="Calibration (equally filled bins)", xlabel="said", ylabel="happened", xlim=(0, top), ylim=(0, top))
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3)


def _profits(ax: Axes, report: Json) -> None:
    rows = [run for run in reversed(report["runs"]) if run["name"] in report["plots"]["equity"]]
    colours = _colours(report)
    for place, run in enumerate(rows):
        ax.barh(place, run["net"], color=colours[run["name"]], height=0.6)
        bounds = run.get("net_interval")
        if bounds and "low" in bounds:
            ax.plot((bounds["low"], bounds["high"]), (place, place), color="black", lw=1.5, marker="|", ms=10)
    ax.set_yticks(range(len(rows)), [f"{run['name']} ({run['trades']})" for run in rows], fontsize=9)
    ax.axvline(0.0, color="black", lw=0.8)
    ax.locator_params(axis="x", nbins=5)
    if ax.get_xlim()[0] < -report["terms"]["balance_quote"]:
        ax.set_xlim(left=-report["terms"]["balance_quote"])  # longer bars lost everything
    ax.set(title="Net profit after costs (trades), with interval", xlabel="quote units")
    ax.grid(alpha=0.3, axis="x")
