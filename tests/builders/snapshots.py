"""Frozen vectors of a planted market, as the step `snapshot` leaves them, and settings to learn from them fast."""

from __future__ import annotations

import numpy as np

from libs.trading.features.catalogue import DEFAULT_VIEW, full_spec
from pipelines.retrain.adapters.run_folder import RunFolder, write_facts
from pipelines.retrain.adapters.tables import write_columns
from pipelines.retrain.settings import (
    DEMO,
    CostSettings,
    FoldSettings,
    LabelSettings,
    Request,
    RetrainSettings,
    Source,
    TreeSettings,
)
from pipelines.retrain.steps.dataset import FEATURE
from tests.builders.candidates import COSTS, Market, World, a_world

SECOND = 10**9
KNOWING = "imbalance_5"  # the one feature that knows the drift
SMALL = TreeSettings(trees=12, depth=3, learning_rate=0.2, least_rows=20, l2=1.0)


def small_settings(seed: int = 42, **changes: object) -> RetrainSettings:
    """The demo's settings with small trees, sized to `Market()`."""
    chosen: dict[str, object] = {
        "horizon_s": 5.0,
        "seed": seed,
        "folds": FoldSettings(folds=3, embargo_bars=1, holdout_share=0.27, least_rows=200),
        "label": LabelSettings(threshold_sigmas=0.5),
        "costs": CostSettings(**{name: getattr(COSTS, name) for name in COSTS.__slots__}),
        "members": dict.fromkeys(DEMO.members, SMALL),
        **changes,
    }
    return DEMO.model_copy(update=chosen)


def a_request(settings: RetrainSettings | None = None) -> Request:
    return Request(source=Source(archive="nowhere"), settings=settings or small_settings())


def a_snapshot(folder: RunFolder, market: Market | None = None, provenance: str = "SIMULATED") -> World:
    """Write the vectors of this market; the feature `KNOWING` is the market's true expected return, in sigmas."""
    world = a_world(market or Market())
    n = world.quotes.as_of.size
    rng = np.random.default_rng(5)
    values = rng.normal(size=(n, len(DEFAULT_VIEW))).astype(np.float32)
    expected = world.expected / (world.expected.std() or 1.0)
    values[:, DEFAULT_VIEW.index(KNOWING)] = expected.astype(np.float32)
    columns = {FEATURE + name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(DEFAULT_VIEW)}
    write_columns(
        folder.snapshot_table,
        {
            "instrument": np.full(n, "bybit.linear.BTCUSDT"),
            "session": np.full(n, "planted"),
            "as_of": world.quotes.as_of,
            "known_at": world.quotes.known_at,
            "bid": world.quotes.bid,
            "ask": world.quotes.ask,
            "ready": np.ones(n, dtype=np.bool_),
            **columns,
        },
    )
    spec = full_spec(SECOND, SECOND // 4)
    view = spec.view(DEFAULT_VIEW)
    write_facts(
        folder.snapshot_facts,
        {
            "id": "planted",
            "digest": "ab" * 32,
            "provenance": provenance,
            "features": list(DEFAULT_VIEW),
            "formula_versions": [version for _, version in view.features],
            "view_hash": view.hash,
            "spec_hash": spec.hash,
            "bar_interval_ns": spec.bar_interval,
            "emission_interval_ns": spec.emission_interval,
            "gaps": [],
            "rows": n,
            "canary": {"compared": 900, "changed": 0, "planted_changed": 8},
        },
    )
    return world
