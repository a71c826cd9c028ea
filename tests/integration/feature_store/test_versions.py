"""Records of a later version than the service reads are put aside with the reason; it goes on with the rest."""

from __future__ import annotations

from libs.runtime.kafka import open_producer
from libs.wire.market import encode_record
from tests.builders.processes import wait_for
from tests.integration.feature_store.place import Place
from tests.unit.trading.features.streams import INSTRUMENT, a_stream, records_of

LATER = [("payload", b"market.v2.MarketEvents")]


def test_a_later_version_is_dead_and_the_service_goes_on(place: Place) -> None:
    records = records_of(a_stream(3, 60))
    producer = open_producer(place.kafka, "test")
    value = encode_record(records[0])
    producer.send("market.events", key=INSTRUMENT.encode(), value=value, headers=LATER).result(10.0)
    producer.close()
    place.produce(records)
    place.start()
    place.wait_ready()
    wait_for(lambda: len(place.read("features.vectors")) > 5)
    [dead] = wait_for(lambda: list(place.read("market.events.dead")) or None)
    assert dead.value == value
    assert (
        dict(dead.headers)["reason"]
        == b"the record holds 'market.v2.MarketEvents', market.v1.MarketEvents is read here"
    )
    said = {dict(record.headers).get("payload") for record in place.read("features.vectors")}
    assert said == {b"features.v1.FeatureVector"}
