"""Every feature that the kernels compute, in kernel order, and the named views that the platform starts with."""

from __future__ import annotations

from libs.trading.features.spec import Feature, FeatureSpec
from libs.trading.market import NS_PER_SECOND

BARS, BOOK, TRADES = ("bars",), ("book",), ("trades",)

BAR_FEATURES = (
    Feature("close", 1, "1 bar", BARS, "quote"),
    Feature("volume", 1, "1 bar", BARS, "base"),
    Feature("returns_1", 1, "2 bars", BARS, "fraction"),
    Feature("rsi_14", 1, "15 bars", BARS, "0..100"),
    Feature("macd", 1, "26 bars", BARS, "quote"),
    Feature("macd_signal", 1, "34 bars", BARS, "quote"),
    Feature("atr_14", 1, "15 bars", BARS, "quote"),
    Feature("bb_position", 1, "20 bars", BARS, "fraction of the band"),
    Feature("ema_20", 1, "20 bars", BARS, "quote"),
    Feature("ema_50", 1, "50 bars", BARS, "quote"),
    Feature("volume_ratio", 1, "20 bars", BARS, "ratio"),
    Feature("zscore", 1, "20 bars", BARS, "sigmas"),
    Feature("log_return_1", 1, "2 bars", BARS, "log ratio"),
    Feature("close_to_ema_20", 1, "20 bars", BARS, "fraction"),
    Feature("close_to_ema_50", 1, "50 bars", BARS, "fraction"),
    Feature("macd_to_close", 1, "26 bars", BARS, "fraction"),
    Feature("macd_signal_to_close", 1, "34 bars", BARS, "fraction"),
    Feature("atr_to_close", 1, "15 bars", BARS, "fraction"),
    Feature("log_volume_ratio", 1, "20 bars", BARS, "log1p of a ratio"),
)
BOOK_FEATURES = (
    Feature("spread_bps", 1, "now", BOOK, "bps"),
    Feature("microprice_bps", 1, "now", BOOK, "bps"),
    Feature("imbalance_1", 1, "now", BOOK, "-1..1"),
    Feature("imbalance_5", 1, "now", BOOK, "-1..1"),
    Feature("imbalance_10", 1, "now", BOOK, "-1..1"),
    Feature("imbalance_25", 1, "now", BOOK, "-1..1"),
    Feature("ofi_1s", 1, "1 s", BOOK, "base"),
    Feature("ofi_5s", 1, "5 s", BOOK, "base"),
    Feature("ofi_30s", 1, "30 s", BOOK, "base"),
    Feature("mid_return_1s", 1, "1 s", BOOK, "log ratio"),
    Feature("mid_return_5s", 1, "5 s", BOOK, "log ratio"),
    Feature("mid_return_30s", 1, "30 s", BOOK, "log ratio"),
    Feature("realised_vol_30s", 1, "30 s in steps of 1 s", BOOK, "log ratio"),
)
FLOW_FEATURES = (
    Feature("taker_imbalance_5s", 1, "5 s", TRADES, "-1..1"),
    Feature("taker_imbalance_30s", 1, "30 s", TRADES, "-1..1"),
)
CATALOGUE = BAR_FEATURES + BOOK_FEATURES + FLOW_FEATURES
N_FEATURES = len(CATALOGUE)

CORE12 = tuple(feature.name for feature in BAR_FEATURES[:12])
_PRICE_LEVELS = {"close", "volume", "macd", "macd_signal", "atr_14", "ema_20", "ema_50", "volume_ratio", "returns_1"}

# Only what keeps its meaning when the price moves: the default for training. `returns_1` and `volume_ratio` are there
# as their log twins.
DEFAULT_VIEW = tuple(feature.name for feature in CATALOGUE if feature.name not in _PRICE_LEVELS)
BARS_VIEW = tuple(feature.name for feature in BAR_FEATURES if feature.name not in _PRICE_LEVELS)
VIEWS = {"default": DEFAULT_VIEW, "bars": BARS_VIEW}


def column(name: str) -> int:
    """The place of a feature in the kernels' output. Raises KeyError for a name that is not in the catalogue."""
    for index, feature in enumerate(CATALOGUE):
        if feature.name == name:
            return index
    raise KeyError(name)


def full_spec(bar_interval: int = 900 * NS_PER_SECOND, emission_interval: int = NS_PER_SECOND) -> FeatureSpec:
    """All features of the catalogue at these intervals (ns)."""
    return FeatureSpec(CATALOGUE, bar_interval, emission_interval)
