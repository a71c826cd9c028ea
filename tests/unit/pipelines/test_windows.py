"""A window means the same stretch whenever it is asked for again, and what it asks for follows from nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipelines.retrain.adapters.run_folder import RunError
from pipelines.retrain.command.options import ModelOptions, SourceOptions
from pipelines.retrain.command.request import asked, run_name
from pipelines.retrain.command.window import NS, length_s, window

NOON = 1_763_726_400  # 2025-11-21T12:00:00Z
DEMO = ModelOptions(policy="demo")


def a_name(window: str = "60m", model: ModelOptions = DEMO) -> str:
    plain = SourceOptions(archive="nowhere", instrument="bybit.linear.BTCUSDT")
    request = asked(plain, model, NOON + 90.0, print).request
    cut = {"window": window, "from_ns": 1, "to_ns": NOON * NS}
    return run_name(request.model_copy(update={"source": request.source.model_copy(update=cut)}))


@pytest.mark.parametrize(("text", "seconds"), [("60m", 3600), ("24h", 86400), ("7d", 604800), ("26w", 15_724_800)])
def test_lengths_are_read(text: str, seconds: int) -> None:
    assert length_s(text) == seconds


@pytest.mark.parametrize("text", ["60", "m", "0m", "-5m", "1.5h", "60 m", "6M", ""])
def test_other_lengths_are_refused_with_examples(text: str) -> None:
    with pytest.raises(RunError, match="as 60m, 24h, 7d or 26w"):
        length_s(text)


def test_now_is_cut_to_a_minute_so_that_a_retry_is_the_same_window() -> None:
    first, retry = (window("60m", "now", NOON + second) for second in (1.5, 58.9))
    assert first == retry
    assert (first.from_ns, first.to_ns) == ((NOON - 3600) * NS, NOON * NS)


def test_now_is_cut_to_an_hour_for_long_windows() -> None:
    assert window("7d", "now", NOON + 3599.0).to_ns == NOON * NS


@pytest.mark.parametrize(
    ("until", "message"),
    [
        ("yesterday", "expected 'now' or a time as"),
        ("2025-11-21T12:00:00", "has no time zone"),
        ("2025-11-21T12:01:00Z", "lies 60 s ahead"),
    ],
)
def test_an_end_that_cannot_be_meant_is_explained(until: str, message: str) -> None:
    with pytest.raises(RunError, match=message):
        window("60m", until, float(NOON))


def test_a_run_is_named_by_instrument_end_window_and_settings() -> None:
    name = a_name()
    assert name.startswith("retrain-BTCUSDT-20251121T120000Z-60m-")
    assert name == a_name()
    others = [replace(DEMO, seed=7), replace(DEMO, taker_fee_bps=1.0), replace(DEMO, scope="PAPER")]
    assert len({name, a_name(window="24h"), *(a_name(model=model) for model in others)}) == 5


def test_a_window_leaves_no_room_for_a_session() -> None:
    source = SourceOptions(archive="x", instrument="i", window="60m", session="s")
    with pytest.raises(RunError, match="leave out --session"):
        asked(source, ModelOptions(), float(NOON), print)
