"""Runs one service: gRPC with health and reflection, metrics, background tasks, readiness, and a clean end."""

from __future__ import annotations

import gc
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from libs.runtime import metrics
from libs.runtime.grpc_errors import abort
from libs.runtime.logs import get_logger
from libs.runtime.tracing import OFF, TracedCalls, Tracer

WORKERS = 16
MAX_STREAMS = 8
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
DRAIN_SECONDS = 5.0
TASK_SECONDS = 10.0
READY_INTERVAL_S = 0.1

log = get_logger("service")


class PortInUse(SystemExit):
    """Another program has the port; a process that does not catch it ends with code 1 and the message."""


@dataclass(frozen=True, slots=True)
class Task:
    """A loop that runs in a thread of its own until the event is set; it must not return before that.

    A SystemExit of it is something that a person has to change: its message is logged in one line, without a trace."""

    name: str
    run: Callable[[threading.Event], None]


class StreamCap:
    """At most `limit` streams at a time, because each holds a worker that unary calls need."""

    def __init__(self, limit: int = MAX_STREAMS) -> None:
        self._free = threading.BoundedSemaphore(limit)
        self._limit = limit

    @contextmanager
    def hold(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Hold one place while the stream lives; ends the call with RESOURCE_EXHAUSTED when there is none."""
        if not self._free.acquire(blocking=False):
            message = f"all {self._limit} streams are taken"
            abort(context, grpc.StatusCode.RESOURCE_EXHAUSTED, message, reason="TOO_MANY_STREAMS", retry_s=5.0)
        try:
            yield
        finally:
            self._free.release()


def run_service(
    name: str,
    *,
    grpc_port: int,
    metrics_port: int,
    add_servicers: Callable[[grpc.Server], Sequence[str]],
    tasks: Sequence[Task],
    is_ready: Callable[[], bool],
    on_stop: Sequence[Callable[[], None]] = (),
    host: str = "127.0.0.1",
    stop: threading.Event | None = None,
    tracer: Tracer = OFF,
) -> int:
    """Run until SIGTERM, SIGINT, `stop` or the death of a task; returns the process's exit code (1 after a death).

    `add_servicers` registers the servicers and returns their full names (`orders.v1.OrderRoutingService`). Health says
    NOT_SERVING until `is_ready()`, which is asked every 100 ms. At the end: health goes down, calls drain, tasks are
    told to stop and waited for, then `on_stop` is called in order. Raises `PortInUse` that names the setting.
    The health of the name `live` is SERVING from the start to the end."""
    stop = stop or threading.Event()
    sys.setswitchinterval(0.0005)  # a tick waits no longer for a thread that is busy with something slow
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    server = make_server(*([TracedCalls(tracer)] if tracer.is_on else []))
    readiness = serve_health(server, name, add_servicers(server))
    bind_server(server, name, host, grpc_port)
    stop_metrics = serve_metrics(name, host, metrics_port)
    server.start()
    log.info("listening", grpc=f"{host}:{grpc_port}", metrics=f"{host}:{metrics_port}")
    dead = threading.Event()
    threads = [start_task(name, task, stop, dead) for task in tasks]
    try:
        while not stop.wait(READY_INTERVAL_S) and not dead.is_set():
            readiness.say(is_ready())
    except Exception:
        log.exception("is_ready failed")
        dead.set()
    log.info("stopping", because="something died" if dead.is_set() else "asked to")
    readiness.end()
    stopped = server.stop(DRAIN_SECONDS)
    stop.set()
    stopped.wait()
    wait_for_tasks(threads, dead)
    run_each([*on_stop, tracer.close], dead)
    stop_metrics()
    log.info("stopped")
    return 1 if dead.is_set() else 0


def serve_health(server: grpc.Server, name: str, services: Sequence[str]) -> Readiness:
    """Add health and reflection for these services; streams of health hold none of the workers."""
    checks = health.HealthServicer(experimental_non_blocking=True, experimental_thread_pool=ThreadPoolExecutor(2))
    # the name for a process that works, whatever it waits for: what decides whether to restart it
    checks.set("live", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return Readiness(name, checks, ("", *services))


class Readiness:
    """Keeps health and the metric `service_ready` true to what is said here; not ready at first."""

    def __init__(self, name: str, checks: health.HealthServicer, services: Sequence[str]) -> None:
        self._gauge = metrics.gauge("service_ready").labels(name)
        self._checks, self._services, self._ready = checks, services, True
        self.say(False)

    def say(self, ready: bool) -> None:
        if ready == self._ready:
            return
        self._ready = ready
        if ready:  # what was built by now lives on: the collector need not walk through it again and again
            gc.collect()
            gc.freeze()
        self._gauge.set(ready)
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in self._services:
            self._checks.set(service, status)
        log.info("ready" if ready else "not ready")

    def end(self) -> None:
        self._checks.enter_graceful_shutdown()
        self._gauge.set(0)


def make_server(*interceptors: TracedCalls) -> grpc.Server:
    """A sync server with the platform's limits, on no port yet."""
    return grpc.server(
        ThreadPoolExecutor(WORKERS, thread_name_prefix="rpc"),
        interceptors=list(interceptors),
        options=(
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_connection_age_ms", 30 * 60 * 1000),
        ),
        maximum_concurrent_rpcs=8 * WORKERS,
    )


def bind_server(server: grpc.Server, name: str, host: str, port: int) -> None:
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise PortInUse(f"{name}: port {port} is in use; choose another with {name.upper()}_GRPC_PORT") from error


def serve_metrics(name: str, host: str, port: int) -> Callable[[], None]:
    try:
        server, _ = start_http_server(port, host)
    except OSError as error:
        raise PortInUse(f"{name}: port {port} is in use; choose another with {name.upper()}_METRICS_PORT") from error

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return stop


def start_task(service: str, task: Task, stop: threading.Event, dead: threading.Event) -> threading.Thread:
    running = metrics.gauge("service_task_running").labels(service, task.name)

    def run() -> None:
        try:
            task.run(stop)
            if stop.is_set():
                return
            log.error("task returned although nobody asked it to", task=task.name)
        except SystemExit as problem:
            log.error("task cannot go on", task=task.name, reason=str(problem))
        except Exception:
            log.exception("task failed", task=task.name)
        running.set(0)
        dead.set()

    thread = threading.Thread(target=run, name=task.name, daemon=True)
    running.set(1)
    thread.start()
    return thread


def wait_for_tasks(threads: Sequence[threading.Thread], dead: threading.Event) -> None:
    for thread in threads:
        thread.join(TASK_SECONDS)
        if thread.is_alive():
            log.error("task did not stop in time", task=thread.name, seconds=TASK_SECONDS)
            dead.set()


def run_each(actions: Sequence[Callable[[], None]], dead: threading.Event) -> None:
    for action in actions:
        try:
            action()
        except (Exception, SystemExit):
            log.exception("a step of stopping failed", step=getattr(action, "__qualname__", repr(action)))
            dead.set()
