"""Intervals for dependent series: circular block bootstrap over time, with the random numbers as an argument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]

MIN_BLOCKS = 8  # with fewer independent stretches an interval is a guess, so none is given


class Uniform(Protocol):
    """A source of uniform numbers in [0, 1); a seeded `numpy` Generator is one."""

    def random(self, size: tuple[int, int], /) -> Floats: ...


@dataclass(frozen=True, slots=True)
class Interval:
    """`point` with the two-sided bounds at `confidence`; `blocks` is the number of independent stretches behind it."""

    point: float
    low: float
    high: float
    confidence: float
    blocks: int


@dataclass(frozen=True, slots=True)
class TooShort:
    """No interval can be given: the run has `blocks` independent stretches, under `MIN_BLOCKS`."""

    blocks: int

    def __str__(self) -> str:
        return f"a short run: {self.blocks} independent stretches, at least {MIN_BLOCKS} are needed for an interval"


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Block starts of every draw: `starts` float64 (draws, blocks) in ns after `first`, on a circle of `span_ns`."""

    first: int
    span_ns: int
    block_ns: int
    starts: Floats

    @property
    def count(self) -> int:
        return int(self.starts.shape[1])


def draw_blocks(times: Times, block_ns: int, draws: int, uniform: Uniform) -> Blocks | TooShort:
    """Circular blocks of time (Politis & Romano 1992) over `times` (ns, sorted, repeats allowed).

    Blocks are stretches of time, not of rows, so that instruments that move together stay together in a draw.
    Raises ValueError for unsorted times or a block that is not positive.
    """
    if block_ns <= 0:
        raise ValueError(f"block_ns must be positive: {block_ns}")
    if times.size < 2:
        return TooShort(int(times.size))
    steps = np.diff(times)
    if steps.min() < 0:
        raise ValueError("times must be sorted")
    moving = steps[steps > 0]
    step = int(np.median(moving)) if moving.size else 1
    span = int(times[-1] - times[0]) + step
    count = span // block_ns
    if count < MIN_BLOCKS:
        return TooShort(int(count))
    return Blocks(int(times[0]), span, block_ns, uniform.random((draws, int(count))) * span)


def sum_interval(times: Times, values: Floats, blocks: Blocks, confidence: float) -> Interval:
    """Interval of the total of `values` (one per entry of sorted `times`) over a run of this length."""
    prefix = np.concatenate(([0.0], np.cumsum(values)))
    offsets = (times - blocks.first).astype(np.float64)
    ends = blocks.starts + blocks.block_ns
    wrapped = np.maximum(ends - blocks.span_ns, 0.0)
    begin = np.searchsorted(offsets, blocks.starts)
    end = np.searchsorted(offsets, np.minimum(ends, blocks.span_ns))
    head = np.searchsorted(offsets, wrapped)
    totals = (prefix[end] - prefix[begin] + prefix[head]).sum(axis=1)
    scale = blocks.span_ns / (blocks.count * blocks.block_ns)
    return percentile_interval(float(prefix[-1]), totals * scale, confidence, blocks.count)


def row_counts(times: Times, blocks: Blocks, draw: int) -> Floats:
    """How often each row is in one draw: float64 of the length of sorted `times`."""
    offsets = (times - blocks.first).astype(np.float64)
    starts = blocks.starts[draw]
    ends = starts + blocks.block_ns
    change = np.zeros(times.size + 1)
    np.add.at(change, np.searchsorted(offsets, starts), 1.0)
    np.add.at(change, np.searchsorted(offsets, np.minimum(ends, blocks.span_ns)), -1.0)
    over = ends[ends > blocks.span_ns] - blocks.span_ns
    change[0] += over.size
    np.add.at(change, np.searchsorted(offsets, over), -1.0)
    counts: Floats = np.cumsum(change[:-1])
    return counts


def percentile_interval(point: float, draws: Floats, confidence: float, blocks: int) -> Interval:
    """Percentile bounds around `point`, widened by t/z with `blocks` - 1 degrees of freedom.

    The plain percentile interval is too narrow for few blocks; the factor is Student's t over the normal quantile.
    """
    tail = (1.0 - confidence) / 2.0
    low, high = (float(v) for v in np.quantile(draws, [tail, 1.0 - tail]))
    wide = student_over_normal(1.0 - tail, blocks - 1) * math.sqrt(blocks / (blocks - 1.0))
    return Interval(point, point - (point - low) * wide, point + (high - point) * wide, confidence, blocks)


def student_over_normal(probability: float, degrees: int) -> float:
    """Student's t quantile over the normal one (expansion 26.7.5 of Abramowitz & Stegun; good from 5 degrees on)."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / (4.0 * degrees)
    second = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / (96.0 * degrees**2)
    third = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / (384.0 * degrees**3)
    return (z + first + second + third) / z
