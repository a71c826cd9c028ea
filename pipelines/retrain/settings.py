"""Settings of retraining: sizes for a demo of minutes and for months of real bars, everything else by option."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

PolicyName = Literal["demo", "production"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TreeSettings(_Frozen):
    """How one member grows its trees."""

    trees: int = Field(gt=0)
    depth: int = Field(gt=0, le=16)
    learning_rate: float = Field(gt=0.0, le=1.0)
    least_rows: float = Field(gt=0.0)
    row_share: float = Field(default=0.8, gt=0.0, le=1.0)
    column_share: float = Field(default=0.8, gt=0.0, le=1.0)
    l2: float = Field(default=1.0, ge=0.0)


class LabelSettings(_Frozen):
    """`floor_round_trips`: the threshold is at least this many times the cost of a round trip."""

    kind: Literal["DIRECTION", "TRIPLE_BARRIER", "EXPECTED_PNL", "META"] = "DIRECTION"
    threshold_sigmas: float = Field(default=0.5, gt=0.0)
    floor_round_trips: float = Field(default=0.0, ge=0.0)
    max_wait_s: float = Field(default=2.0, ge=0.0)


class FoldSettings(_Frozen):
    folds: int = Field(default=4, ge=1)
    first_share: float | None = Field(default=None, gt=0.0, lt=1.0)
    embargo_bars: int = Field(default=1, ge=0)
    holdout_share: float = Field(default=0.3, gt=0.0, lt=1.0)
    holdout_least_s: float = Field(default=0.0, ge=0.0)
    holdout_most_share: float = Field(default=0.67, gt=0.0, lt=1.0)
    least_rows: int = Field(default=100, ge=1)


class ThresholdSettings(_Frozen):
    quantiles: tuple[float, ...]
    least_trades: int = Field(ge=1)
    least_winning_folds: float = Field(default=0.5, ge=0.0, le=1.0)


class CostSettings(_Frozen):
    """Per side, in bps of notional: the venue's base rates unless the account's own are given."""

    maker_fee_bps: float = 2.0
    taker_fee_bps: float = 5.5
    slippage_bps: float = 2.0


class RetrainSettings(_Frozen):
    """Everything that shapes a model; two runs with equal settings over equal data give the same bundle digest."""

    policy: PolicyName
    view: str
    bar_s: float = Field(gt=0.0)
    emission_ms: float = Field(gt=0.0)
    horizon_s: float = Field(gt=0.0)
    seed: int = 42
    trials: int = Field(default=1, ge=1)  # configurations looked at out of fold before this one, this one included
    history_delay_ms: float = Field(default=20.0, ge=0.0)
    half_spread_bps: float | None = None
    label: LabelSettings
    folds: FoldSettings
    threshold: ThresholdSettings
    costs: CostSettings = CostSettings()
    members: dict[str, TreeSettings]


DEMO = RetrainSettings(
    policy="demo",
    view="default",
    bar_s=1.0,
    emission_ms=250.0,
    horizon_s=8.0,
    label=LabelSettings(threshold_sigmas=0.5),
    folds=FoldSettings(folds=3, first_share=0.6, embargo_bars=2, holdout_share=0.3, least_rows=40),
    threshold=ThresholdSettings(quantiles=(0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95), least_trades=8),
    members={
        "lightgbm": TreeSettings(trees=80, depth=4, learning_rate=0.05, least_rows=40, column_share=0.6),
        "xgboost": TreeSettings(trees=80, depth=4, learning_rate=0.05, least_rows=40, column_share=0.6),
        "catboost": TreeSettings(trees=80, depth=4, learning_rate=0.08, least_rows=1, l2=10.0, column_share=0.6),
        "random_forest": TreeSettings(
            trees=80, depth=6, learning_rate=1.0, least_rows=30, row_share=0.6, column_share=0.4
        ),
    },
)

PRODUCTION = RetrainSettings(
    policy="production",
    view="bars",
    bar_s=300.0,
    emission_ms=300_000.0,
    horizon_s=24 * 300.0,
    history_delay_ms=1000.0,
    half_spread_bps=0.5,
    trials=3,
    label=LabelSettings(threshold_sigmas=0.5, floor_round_trips=3.0, max_wait_s=300.0),
    folds=FoldSettings(folds=4, embargo_bars=24, holdout_share=0.3, holdout_least_s=121 * 86400.0, least_rows=2000),
    threshold=ThresholdSettings(quantiles=(0.5, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995), least_trades=50),
    members={
        "lightgbm": TreeSettings(trees=100, depth=4, learning_rate=0.04, least_rows=1000),
        "xgboost": TreeSettings(trees=100, depth=4, learning_rate=0.04, least_rows=1000),
        "catboost": TreeSettings(trees=100, depth=5, learning_rate=0.05, least_rows=1, l2=30.0),
        "random_forest": TreeSettings(
            trees=100, depth=12, learning_rate=1.0, least_rows=100, row_share=0.63, column_share=0.4
        ),
    },
)
PRESETS = {"demo": DEMO, "production": PRODUCTION}


class Source(_Frozen):
    """Real bars in `data`; or of `archive` the stretch [from_ns, to_ns) of as-of of one session or, when `window` says
    how long it is, of every session with one provenance."""

    data: Path | None = None
    archive: str | None = None
    instrument: str | None = None
    session: str | None = None
    window: str | None = None
    provenance: Literal["SIMULATED", "RECORDED", "LIVE"] | None = None
    from_ns: int = 0
    to_ns: int | None = None
    patience_s: float = Field(default=600.0, ge=0.0)


class Request(_Frozen):
    """One run: what is learnt from what, under which policy, for accounts of which scope (None: the data's own)."""

    source: Source
    settings: RetrainSettings
    needed_scope: Literal["SIMULATED", "PAPER", "LIVE"] | None = None
