"""A service from its start to its end, with real gRPC, in a thread and as a process."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from infra.daemon import free_port
from libs.runtime.service import MAX_MESSAGE_BYTES, PortInUse, StreamCap, Task, run_service
from protos.features.v1 import features_pb2, features_pb2_grpc
from tests.builders.processes import wait_for

ROOT = Path(__file__).parents[3]
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAME = "features.v1.FeatureStoreService"


class Servicer(features_pb2_grpc.FeatureStoreServiceServicer):
    """Answers slowly, and streams under a cap of one."""

    def __init__(self) -> None:
        self.cap = StreamCap(1)
        self.answering = threading.Event()
        self.go_on = threading.Event()

    def DescribeFeatures(
        self, request: features_pb2.DescribeFeaturesRequest, context: grpc.ServicerContext
    ) -> features_pb2.DescribeFeaturesResponse:
        self.answering.set()
        self.go_on.wait(10)
        return features_pb2.DescribeFeaturesResponse()

    def GetFeatures(
        self, request: features_pb2.GetFeaturesRequest, context: grpc.ServicerContext
    ) -> features_pb2.GetFeaturesResponse:
        return features_pb2.GetFeaturesResponse()

    def WatchFeatures(
        self, request: features_pb2.WatchFeaturesRequest, context: grpc.ServicerContext
    ) -> Iterator[features_pb2.WatchFeaturesResponse]:
        with self.cap.hold(context):
            while context.is_active():
                yield features_pb2.WatchFeaturesResponse()
                time.sleep(0.02)


class Run:
    """One service in a thread, with a handle on everything that it is told."""

    def __init__(self, tasks: tuple[Task, ...] = ()) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.ready, self.stop = threading.Event(), threading.Event()
        self.servicer = Servicer()
        self.stopped: list[str] = []
        self.first_ends_with: type[BaseException] | None = None
        self.code: int | None = None
        self._tasks = tasks
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.code = run_service(
            "feature_store",
            grpc_port=self.port,
            metrics_port=self.metrics_port,
            add_servicers=self._add,
            tasks=self._tasks,
            is_ready=self.ready.is_set,
            on_stop=[self._first, lambda: self.stopped.append("second")],
            stop=self.stop,
        )

    def _first(self) -> None:
        self.stopped.append("first")
        if self.first_ends_with is not None:
            raise self.first_ends_with("closing failed")

    def _add(self, server: grpc.Server) -> list[str]:
        features_pb2_grpc.add_FeatureStoreServiceServicer_to_server(self.servicer, server)
        return [NAME]

    def start(self) -> grpc.Channel:
        self._thread.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        grpc.channel_ready_future(channel).result(10)
        return channel

    def end(self) -> int | None:
        self.stop.set()
        self._thread.join(20)
        return self.code


@contextmanager
def running(*tasks: Task) -> Iterator[tuple[Run, grpc.Channel]]:
    run = Run(tasks)
    channel = run.start()
    try:
        yield run, channel
    finally:
        channel.close()
        run.servicer.go_on.set()
        run.end()


def health_of(channel: grpc.Channel, service: str = NAME) -> int:
    check = health_pb2_grpc.HealthStub(channel).Check
    return int(check(health_pb2.HealthCheckRequest(service=service), timeout=5).status)


def test_health_follows_is_ready() -> None:
    with running() as (run, channel):
        assert (health_of(channel), health_of(channel, "")) == (NOT_SERVING, NOT_SERVING)
        run.ready.set()
        wait_for(lambda: health_of(channel) == health_of(channel, "") == SERVING)
        run.ready.clear()
        wait_for(lambda: health_of(channel) == NOT_SERVING)


def test_a_service_that_waits_is_live_from_the_start() -> None:
    with running() as (_, channel):
        assert (health_of(channel, "live"), health_of(channel)) == (SERVING, NOT_SERVING)


def test_reflection_lists_the_services() -> None:
    with running() as (_, channel):
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        [answer] = list(ask(iter([request]), timeout=5))
        names = {one.name for one in answer.list_services_response.service}
        assert names == {NAME, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


def test_metrics_are_served() -> None:
    with running() as (run, _):
        run.ready.set()

        def says_ready() -> bool:
            with urllib.request.urlopen(f"http://127.0.0.1:{run.metrics_port}/metrics", timeout=5) as answer:
                return 'service_ready{service="feature_store"} 1.0' in answer.read().decode()

        wait_for(says_ready)


def test_a_message_over_the_limit_is_refused() -> None:
    with running() as (_, channel):
        large = features_pb2.GetFeaturesRequest(instruments=["x" * (MAX_MESSAGE_BYTES + 1)])
        with pytest.raises(grpc.RpcError) as refused:
            features_pb2_grpc.FeatureStoreServiceStub(channel).GetFeatures(large, timeout=5)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_streams_over_the_cap_are_refused_and_unary_calls_still_answered() -> None:
    with running() as (_, channel):
        stub = features_pb2_grpc.FeatureStoreServiceStub(channel)
        first: Any = stub.WatchFeatures(features_pb2.WatchFeaturesRequest(), timeout=20)
        next(first)
        second: Any = stub.WatchFeatures(features_pb2.WatchFeaturesRequest(), timeout=5)
        with pytest.raises(grpc.RpcError) as refused:
            next(second)
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert stub.GetFeatures(features_pb2.GetFeaturesRequest(), timeout=5) is not None
        first.cancel()


def test_stopping_drains_calls_then_tasks_then_clients() -> None:
    told = threading.Event()

    def work(stop: threading.Event) -> None:
        stop.wait()
        told.set()

    with running(Task("work", work)) as (run, channel):
        call = features_pb2_grpc.FeatureStoreServiceStub(channel).DescribeFeatures
        answer = call.future(features_pb2.DescribeFeaturesRequest(), timeout=10)
        assert run.servicer.answering.wait(5)
        run.stop.set()
        time.sleep(0.3)
        run.servicer.go_on.set()
        assert answer.result(5) is not None
        assert run.end() == 0
        assert told.is_set()
        assert run.stopped == ["first", "second"]


@pytest.mark.parametrize("ending", [OSError, SystemExit])
def test_a_step_of_stopping_that_fails_keeps_no_other_from_its_turn(ending: type[BaseException]) -> None:
    with running() as (run, _):
        run.first_ends_with = ending
        assert run.end() == 1
        assert run.stopped == ["first", "second"]


@pytest.mark.parametrize("ending", ["raises", "returns", "needs a person"])
def test_a_dead_task_ends_the_service_with_code_1(ending: str) -> None:
    go_on = threading.Event()

    def work(_: threading.Event) -> None:
        go_on.wait(10)
        if ending == "raises":
            raise RuntimeError("broken")
        if ending == "needs a person":
            raise SystemExit("the folder is damaged")

    run = Run((Task("work", work),))
    run.start().close()
    go_on.set()
    wait_for(lambda: run.code is not None)
    assert run.code == 1
    assert run.stopped == ["first", "second"]


@pytest.mark.parametrize(("taken", "setting"), [("port", "GRPC_PORT"), ("metrics_port", "METRICS_PORT")])
def test_a_port_in_use_is_named_with_its_setting(taken: str, setting: str) -> None:
    run = Run()
    with socket.socket() as other:
        other.bind(("127.0.0.1", getattr(run, taken)))
        other.listen()
        with pytest.raises(PortInUse, match=rf"port {getattr(run, taken)} is in use.*FEATURE_STORE_{setting}"):
            run._run()


PROGRAM = """
import sys
from libs.runtime import logs
from libs.runtime.service import Task, run_service
logs.configure("demo")
sys.exit(run_service("demo", grpc_port=int(sys.argv[1]), metrics_port=int(sys.argv[2]), add_servicers=lambda server: [],
                     tasks=[Task("wait", lambda stop: stop.wait() and None)], is_ready=lambda: True,
                     on_stop=[lambda: print("closed", flush=True)]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_cleanly(number: signal.Signals) -> None:
    port = free_port()
    argv = [sys.executable, "-c", PROGRAM, str(port), str(free_port())]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        grpc.channel_ready_future(channel).result(20)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (0, "closed\n"), err
