"""The feature store as a real process on the real broker, asked and given records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.market import MarketRecord
from libs.wire.market import encode_record
from protos.features.v1 import features_pb2_grpc
from tests.builders.processes import ServiceProcess


class Place(ServiceProcess):
    """One environment of the feature store."""

    def __init__(self, kafka: KafkaConfig, log: Path, settings: Mapping[str, str] = MappingProxyType({})) -> None:
        super().__init__("feature_store", kafka, log, {"BAR_SECONDS": "1", "EMISSION_MS": "250", **settings})

    def stub(self) -> features_pb2_grpc.FeatureStoreServiceStub:
        assert self.channel is not None
        return features_pb2_grpc.FeatureStoreServiceStub(self.channel)

    def produce(self, records: Sequence[MarketRecord]) -> None:
        """Write records to market.events and see every one of them acknowledged."""
        producer = open_producer(self.kafka, "test")
        sends = [
            producer.send("market.events", key=record.head.instrument.encode(), value=encode_record(record))
            for record in records
        ]
        for send in sends:
            send.result(30.0)
        producer.close()
