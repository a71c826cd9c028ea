"""Killed in the middle and started again, the service writes the bytes that a fresh replay of the same log gives."""

from __future__ import annotations

import json
from pathlib import Path

from libs.trading.features.catalogue import full_spec
from libs.trading.features.replay import replay_log
from libs.trading.market import NS_PER_SECOND, MarketRecord
from libs.wire.features import decode_vector
from libs.wire.market import decode_record
from tests.builders.processes import wait_for
from tests.builders.recordings import as_records, binance_events
from tests.integration.feature_store.place import Place

SPEC = full_spec(NS_PER_SECOND, NS_PER_SECOND // 4)


def recorded(data_dir: Path, lines: int) -> list[MarketRecord]:
    return as_records(
        binance_events(data_dir / "binance_l2_hftbacktest_2024" / "spot_btcusdt_20240808.gz", limit=lines)
    )


def replayed(place: Place) -> dict[str, tuple[int, bytes, bytes]]:
    """What a fresh engine makes of what market.events holds."""
    log = [(record.offset, decode_record(record.value or b"")) for record in place.read("market.events")]
    return {v.id: (v.as_of, v.values.tobytes(), v.reasons.tobytes()) for v in replay_log(SPEC, log)}


def assert_log_equals_replay(place: Place) -> int:
    """No vector is missing, none is unknown, no byte differs, also where one was written twice."""
    expected = replayed(place)
    written = [decode_vector(record.value or b"") for record in place.read("features.vectors")]
    different = [v.as_of for v in written if expected.get(v.id) != (v.as_of, v.values.tobytes(), v.reasons.tobytes())]
    assert different == []
    assert {v.id for v in written} == set(expected)
    return len(expected)


def count(place: Place, topic: str) -> int:
    return len(place.read(topic))


def test_killed_in_the_middle_no_byte_differs(place: Place, data_dir: Path) -> None:
    records = recorded(data_dir, 12_000)
    third = len(records) // 3
    place.settings["SNAPSHOT_SECONDS"] = "0.3"
    place.produce(records[:third])
    place.start()
    place.wait_ready()
    place.produce(records[third : 2 * third])
    wait_for(lambda: count(place, "features.snapshots") >= 4, why="two passes of snapshots")
    place.kill()
    place.produce(records[2 * third :])
    place.start()
    place.wait_ready()
    assert place.stop() == 0
    assert assert_log_equals_replay(place) > 200
    starts = [line for line in map(json.loads, place.log.read_text().splitlines()) if line["event"] == "reading"]
    assert [line for line in starts if line["restored"]] != []  # it went on from a snapshot, not from the beginning


def test_killed_before_any_snapshot_it_reads_from_the_beginning(place: Place, data_dir: Path) -> None:
    records = recorded(data_dir, 4000)
    place.settings["SNAPSHOT_SECONDS"] = "3600"
    place.produce(records)
    place.start()
    wait_for(lambda: count(place, "features.vectors") > 5, why="some vectors")
    place.kill()
    assert count(place, "features.snapshots") == 0
    place.start()
    place.wait_ready()
    assert place.stop() == 0
    assert assert_log_equals_replay(place) > 50
