"""The running service: rpcs and their errors, poison records, sharing partitions, a clean stop, bad settings."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import grpc
import numpy as np
import pytest

from infra.daemon import free_port
from libs.runtime.kafka import open_producer
from libs.trading.features.catalogue import DEFAULT_VIEW, full_spec
from libs.trading.market import NS_PER_SECOND, MarketRecord
from libs.wire.features import decode_vector, vector_value
from protos.features.v1 import features_pb2 as pb
from tests.builders.processes import ROOT, wait_for
from tests.integration.feature_store.place import Place
from tests.unit.trading.features.streams import INSTRUMENT, a_stream, records_of

SPEC = full_spec(NS_PER_SECOND, NS_PER_SECOND // 4)


def named(records: list[MarketRecord], instrument: str) -> list[MarketRecord]:
    return [replace(record, head=replace(record.head, instrument=instrument)) for record in records]


def refusal(call: Any, request: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(request, timeout=5.0)
    return caught.value.code(), caught.value.details() or ""


def test_rpcs_answer_and_refuse_as_promised(place: Place) -> None:
    place.produce(records_of(a_stream(1, 300, gaps=False, mess=False)))
    place.start()
    place.wait_ready()
    stub = place.stub()

    described = stub.DescribeFeatures(pb.DescribeFeaturesRequest(), timeout=5.0)
    assert described.spec_hash == SPEC.hash
    assert [feature.name for feature in described.features] == list(SPEC.names)
    assert described.view_hashes["default"] == SPEC.view(DEFAULT_VIEW).hash

    [vector] = stub.GetFeatures(pb.GetFeaturesRequest(instruments=[INSTRUMENT]), timeout=5.0).vectors
    whole = vector_value(vector)
    assert whole.values.tobytes() == decode_vector(place.read("features.vectors")[-1].value or b"").values.tobytes()
    names = ["spread_bps", "close"]
    [vector] = stub.GetFeatures(pb.GetFeaturesRequest(instruments=[INSTRUMENT], names=names), timeout=5.0).vectors
    expected = whole.values[[SPEC.names.index(name) for name in names]]
    assert np.array_equal(np.frombuffer(vector.values, "<f4"), expected)

    get, ask = stub.GetFeatures, pb.GetFeaturesRequest
    assert refusal(get, ask())[0] is grpc.StatusCode.INVALID_ARGUMENT
    code, text = refusal(get, ask(instruments=[INSTRUMENT], names=["nonsense"]))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "nonsense" in text
    assert refusal(get, ask(instruments=[INSTRUMENT], max_age_ns=-1))[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert refusal(get, ask(instruments=["bybit.linear.NONE"]))[0] is grpc.StatusCode.NOT_FOUND
    assert refusal(get, ask(instruments=[INSTRUMENT], max_age_ns=1))[0] is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal(get, ask(instruments=[INSTRUMENT] * 201))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_watching_sees_what_comes_and_streams_are_capped(place: Place) -> None:
    place.settings["MAX_STREAMS"] = "1"
    records = records_of(a_stream(2, 120, gaps=False, mess=False))
    place.produce(records[:60])
    place.start()
    place.wait_ready()
    stub: Any = place.stub()
    stream = stub.WatchFeatures(pb.WatchFeaturesRequest(instruments=[INSTRUMENT]), timeout=30.0)
    stream.initial_metadata()  # it has its place now
    other = stub.WatchFeatures(pb.WatchFeaturesRequest(), timeout=30.0)
    with pytest.raises(grpc.RpcError) as caught:
        wait_for(lambda: next(other))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    place.produce(records[60:])
    assert next(stream).vector.instrument == INSTRUMENT
    stream.cancel()


def test_a_poison_record_is_buried_with_its_reason_and_the_rest_goes_on(place: Place) -> None:
    records = records_of(a_stream(3, 60))
    producer = open_producer(place.kafka, "test")
    producer.send("market.events", key=INSTRUMENT.encode(), value=b"\xff\xff").result(10.0)
    producer.send("market.events", key=INSTRUMENT.encode(), value=None).result(10.0)
    producer.close()
    place.produce(records)
    place.start()
    place.wait_ready()
    wait_for(lambda: len(place.read("features.vectors")) > 5)
    dead = wait_for(lambda: list(place.read("market.events.dead")) or None)
    assert [record.key for record in dead] == [INSTRUMENT.encode()] * 2
    assert dead[0].value == b"\xff\xff"
    assert all(dict(record.headers)["reason"] for record in dead)


def test_two_replicas_share_the_partitions_and_each_answers_for_all(place: Place, tmp_path: Any) -> None:
    instruments = [f"bybit.linear.C{number}USDT" for number in range(8)]
    for name in instruments:
        place.produce(named(records_of(a_stream(4, 40, gaps=False)), name))
    place.settings["PARTITIONS"] = "group"
    other = Place(place.kafka, tmp_path / "other.log", dict(place.settings))
    place.settings["INSTANCE_ID"], other.settings["INSTANCE_ID"] = "0", "1"
    try:
        place.start()
        other.start()
        place.wait_ready()
        other.wait_ready()
        for replica in (place, other):

            def answers(replica: Place = replica) -> bool:
                try:
                    request = pb.GetFeaturesRequest(instruments=instruments)
                    return len(replica.stub().GetFeatures(request, timeout=5.0).vectors) == len(instruments)
                except grpc.RpcError:
                    return False

            wait_for(answers, why="every instrument has a vector")
        assert other.stop() == 0
        assert place.stop() == 0
    finally:
        other.kill()
    ids = {decode_vector(record.value or b"").id for record in place.read("features.vectors")}
    per_instrument = len(ids) / len(instruments)
    assert per_instrument == int(per_instrument) > 5


def test_without_a_broker_it_waits_says_so_and_is_not_ready(place: Place) -> None:
    place.settings["KAFKA__BOOTSTRAP"] = f"127.0.0.1:{free_port()}"
    place.start()
    wait_for(lambda: "waiting for the broker" in place.log.read_text(), why="a log line")
    assert place.process is not None
    assert place.process.poll() is None
    request = pb.GetFeaturesRequest(instruments=[INSTRUMENT])
    assert refusal(place.stub().GetFeatures, request)[0] is grpc.StatusCode.UNAVAILABLE


def test_a_mistyped_setting_is_named_and_ends_the_start(place: Place) -> None:
    env = {"PATH": "/usr/bin:/bin", "FEATURE_STORE_EMISION_MS": "250", "FEATURE_STORE_GRPC_PORT": "0"}
    argv = [sys.executable, "-m", "services.feature_store"]
    ended = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60.0, check=False)
    assert ended.returncode == 1
    assert "FEATURE_STORE_EMISSION_MS" in ended.stderr


def test_intervals_that_do_not_fit_are_a_setting_to_change(place: Place) -> None:
    place.settings["EMISSION_MS"] = "333"
    place.start()
    assert place.process is not None
    assert place.process.wait(60.0) == 1
    assert "333000000 ns" in place.log.read_text()
    assert "Traceback" not in place.log.read_text()
