"""Hundreds of seeded histories of faults and crashes: nothing lost, nothing doubled, journal = venue."""

from __future__ import annotations

import os

import pytest

from tests.fakes.seeded_trial import Trial

RUNS = int(os.environ.get("TRADING_TEST_TRIALS", "300"))
BATCH = max(1, RUNS // 10)


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("first", range(0, RUNS, BATCH))
def test_no_order_is_lost_or_doubled(first: int) -> None:
    for seed in range(first, min(first + BATCH, RUNS)):
        trial = Trial(seed)
        try:
            trial.run()
        except BaseException as problem:
            problem.add_note(f"seed {seed}, {trial.crashes} crashes, faults {trial.venue.faults}")
            raise
