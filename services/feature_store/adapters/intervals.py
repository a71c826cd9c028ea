"""What is computed, from the intervals in the settings."""

from __future__ import annotations

from libs.runtime.settings import SettingsProblem
from libs.trading.features.catalogue import full_spec
from libs.trading.features.engine import FeatureEngine
from libs.trading.features.spec import FeatureSpec
from libs.trading.market import NS_PER_SECOND


def spec_of(bar_seconds: int, emission_ms: int) -> FeatureSpec:
    """Raises SettingsProblem for intervals with which no engine can keep its windows."""
    spec = full_spec(bar_seconds * NS_PER_SECOND, emission_ms * 1_000_000)
    try:
        FeatureEngine(spec, "none")
    except ValueError as error:
        raise SettingsProblem(f"feature_store: BAR_SECONDS and EMISSION_MS do not fit: {error}") from error
    return spec
