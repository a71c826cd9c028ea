"""The alias is the wish, the reconciler decides: swaps, refusals, restarts, and MLflow away."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

import grpc
import pytest
from mlflow.tracking import MlflowClient

from infra.daemon import free_port
from libs.bundle.golden import GoldenRows
from libs.bundle.trust import Provenance
from libs.trading.features.catalogue import full_spec
from libs.wire.features import vector_message
from protos.alerts.v1 import alerts_pb2
from protos.models.v1 import models_pb2
from protos.predictions.v1 import predictions_pb2 as pb
from tests.builders.bundles import (
    BAR_INTERVAL,
    EMISSION_INTERVAL,
    NAMES,
    a_bundle,
    a_key_pair,
    a_view,
    golden_inputs,
    linear_probabilities,
    register,
    weights,
)
from tests.builders.processes import wait_for
from tests.builders.vectors import a_vector
from tests.integration.model_serving.place import Place, cable

CHALLENGER = pb.ROLE_CHALLENGER


def probability_up(place: Place) -> float:
    request = pb.PredictRequest(vector=vector_message(a_vector({NAMES[0]: 1.0})))
    return place.rpc.Predict(request, timeout=5.0).prediction.probabilities[2]


def events(place: Place) -> list[models_pb2.ModelEvent]:
    return [models_pb2.ModelEvent.FromString(record.value or b"") for record in place.read("models.events")]


def refused_tag(place: Place, version: int) -> str | None:
    client = MlflowClient(tracking_uri=place.mlflow, registry_uri=place.mlflow)
    return client.get_model_version(place.model, str(version)).tags.get("refused_reason")


def kinds(place: Place) -> list[tuple[str, int]]:
    prefix = "MODEL_EVENT_KIND_"
    return [(models_pb2.ModelEventKind.Name(e.kind).removeprefix(prefix), e.version) for e in events(place)]


def test_the_alias_moves_and_the_model_swaps_and_rolls_back_and_retires(place: Place) -> None:
    place.start()
    with pytest.raises(grpc.RpcError) as nobody:
        probability_up(place)
    assert nobody.value.code() is grpc.StatusCode.UNAVAILABLE

    first = place.version("first")
    place.wish("champion", first)
    wait_for(lambda: place.serves() == first)
    weak = probability_up(place)

    second = place.version("second", table=weights(3, slope=3.0))
    place.wish("challenger", second)
    wait_for(lambda: place.serves(CHALLENGER) == second)
    assert probability_up(place) == weak
    place.wish("champion", second)
    wait_for(lambda: place.serves() == second)
    assert probability_up(place) > weak + 0.1

    place.wish("champion", first)
    wait_for(lambda: place.serves() == first)
    place.wish("champion", None)
    wait_for(lambda: place.serves() is None)
    assert kinds(place) == [
        ("ACCEPTED", first),
        ("ACCEPTED", second),
        ("ACCEPTED", second),
        ("ROLLED_BACK", first),
        ("RETIRED", first),
    ]
    assert events(place)[0].integrity.signature
    assert events(place)[0].evidence_verdict.signature
    assert place.stop() == 0


def test_each_bad_version_is_refused_for_its_own_reason_and_the_last_accepted_serves_on(place: Place) -> None:
    good = place.version("good")
    place.wish("champion", good)
    place.start()
    wait_for(lambda: place.serves() == good)
    inputs = golden_inputs(3)
    wrong = GoldenRows(inputs, linear_probabilities(inputs, weights(3, slope=2.0)))
    other = full_spec(7 * BAR_INTERVAL, EMISSION_INTERVAL)
    bad: dict[str, dict[str, Any]] = {
        "INTEGRITY_MISSING": {"integrity": None},
        "INTEGRITY_REFUSED": {"integrity": False},
        "INTEGRITY_UNTRUSTED": {"keys": a_key_pair(9)},
        "EVIDENCE_MISSING": {"evidence": None},
        "EVIDENCE_REFUSED": {"evidence": False},
        "VIEW_NOT_SERVABLE": {"view": a_view(spec=other)},
        "GOLDEN_ROWS_DIFFER": {"golden": wrong},
        "GRAPH_NOT_RUNNABLE": {"graph": b"no graph at all"},
    }
    for reason, changes in bad.items():
        version = place.version(reason, **changes)
        place.wish("champion", version)
        told = wait_for(partial(place.refusal, version), why=reason)
        assert told.startswith(f"{reason}: ")
        assert place.serves() == good
        assert wait_for(partial(refused_tag, place, version)) == told
    alerts = [alerts_pb2.Alert.FromString(record.value or b"") for record in place.read("alerts")]
    assert [alert.labels["code"] for alert in alerts] == list(bad)
    assert probability_up(place) > 0.5


def test_a_tampered_artifact_is_refused_with_the_name_of_the_file(place: Place) -> None:
    folder = place.folder / "tampered"
    a_bundle(folder, keys=place.keys)
    (folder / "members" / "linear.json").write_bytes(b"{ }")
    version = register(place.mlflow, folder, name=place.model)
    place.wish("challenger", version)
    place.start()
    assert wait_for(lambda: place.refusal(version)).startswith("BROKEN_BUNDLE: members/linear.json")


def test_evidence_of_simulated_data_is_not_enough_for_a_recording(place: Place) -> None:
    place.scope = "PAPER"
    simulated = place.version("simulated")
    recorded = place.version("recorded", provenance=Provenance.RECORDED)
    place.wish("champion", simulated)
    place.start()
    assert wait_for(lambda: place.refusal(simulated)).startswith("SCOPE_TOO_LOW")
    with pytest.raises(grpc.RpcError) as nobody:
        probability_up(place)
    assert nobody.value.code() is grpc.StatusCode.UNAVAILABLE
    place.wish("champion", recorded)
    wait_for(lambda: place.serves() == recorded)
    assert place.describe().models[0].evidence == models_pb2.SCOPE_PAPER


def test_the_last_accepted_serves_after_a_kill_also_while_the_alias_names_a_refused_one(place: Place) -> None:
    good = place.version("good")
    place.wish("champion", good)
    place.start()
    wait_for(lambda: place.serves() == good)
    bad = place.version("bad", evidence=None)
    place.wish("champion", bad)
    wait_for(lambda: place.refusal(bad))
    place.kill()

    place.mlflow, there = f"http://127.0.0.1:{free_port()}", place.mlflow
    place.start()
    assert place.serves() == good
    assert "waiting; what serves goes on" in place.log.read_text()
    place.kill()

    place.mlflow = there
    place.start()
    assert place.serves() == good
    wait_for(lambda: place.refusal(bad))
    assert kinds(place) == [("ACCEPTED", good), ("REFUSED", bad)]
    place.kill()

    shutil.rmtree(place.folder / "models")
    place.start()
    wait_for(lambda: place.serves() == good, why="fetched again although the alias names another")


def test_a_cached_copy_that_someone_changed_is_not_served(place: Place) -> None:
    good = place.version("good")
    place.wish("champion", good)
    place.start()
    wait_for(lambda: place.serves() == good)
    place.kill()
    [graph] = (place.folder / "models").glob("*/ensemble.onnx")
    graph.write_bytes(graph.read_bytes() + b"\0")
    there, place.mlflow = place.mlflow, f"http://127.0.0.1:{free_port()}"
    place.start(wait=False)
    wait_for(lambda: "BROKEN_BUNDLE" in place.said())
    wait_for(lambda: "registry" in place.said().rpartition("BROKEN_BUNDLE")[2])
    assert place.serves() is None
    assert not place.is_ready(), "nothing is scored before the last accepted one is back"
    place.kill()
    place.mlflow = there
    place.start()
    wait_for(lambda: place.serves() == good)


def test_an_alias_that_goes_back_clears_the_tag_and_the_ages_are_the_registrys(place: Place) -> None:
    place.start()
    good = place.champion("good")
    bad = place.version("bad", evidence=None)
    place.wish("champion", bad)
    assert wait_for(lambda: refused_tag(place, bad)).startswith("EVIDENCE_MISSING")
    assert place.metric("model_serving_refused_info", role="champion", version=str(bad)) == 1
    place.wish("champion", good)
    wait_for(lambda: place.metric("model_serving_refused_info", version=str(bad)) == 0)
    wait_for(lambda: refused_tag(place, bad) is None)
    assert kinds(place) == [("ACCEPTED", good), ("REFUSED", bad), ("ACCEPTED", good)]
    client = MlflowClient(tracking_uri=place.mlflow, registry_uri=place.mlflow)
    created = {number: client.get_model_version(place.model, str(number)).creation_timestamp for number in (good, bad)}
    ages = [
        place.metric("model_serving_model_created_timestamp_seconds", role="champion"),
        place.metric("model_serving_newest_version_timestamp_seconds"),
    ]
    assert [round(age * 1000) for age in ages] == [created[good], created[bad]]
    assert place.metric("model_serving_registry_up") == 1


def test_mlflow_going_away_in_the_middle_stops_nothing(place: Place) -> None:
    first = place.version("first")
    place.wish("champion", first)
    there = place.mlflow
    with cable(there) as relay:
        place.mlflow = relay.address
        place.start()
        wait_for(lambda: place.serves() == first)
        relay.pull()
        wait_for(lambda: "waiting; what serves goes on" in place.log.read_text())
        assert probability_up(place) > 0.5
        place.mlflow = there
        second = place.version("second")
        place.wish("champion", second)
        relay.plug()
        wait_for(lambda: place.serves() == second)
        assert place.log.read_text().count("waiting; what serves goes on") == 1
