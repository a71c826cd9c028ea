"""Which programs a demo runs, and what each of them is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from infra.demo.environment import SERVICES, Environment
from infra.demo.processes import Program
from infra.demo.source import Session, Source
from infra.kafka.broker import answers as broker_answers
from infra.mlflow.server import answers as mlflow_answers

BAR_SECONDS = 1
EMISSION_MS = 250
TRAINING_SECONDS = 3600
INITIAL_BALANCE = 10_000
TAKEN_OVER = ("PATH", "HOME", "LANG", "LC_ALL", "JAVA_HOME", "VIRTUAL_ENV", "TMPDIR", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that runs for one environment, in the order in which it starts."""

    environment: Environment
    root: Path
    external_broker: str | None
    seed: int
    training_seconds: int = TRAINING_SECONDS

    @property
    def bootstrap(self) -> str:
        return self.external_broker or f"127.0.0.1:{self.environment.port('kafka')}"

    @property
    def simulator_address(self) -> str:
        return f"http://127.0.0.1:{self.environment.port('exchange_simulator_http')}"

    @property
    def mlflow_address(self) -> str:
        return f"http://127.0.0.1:{self.environment.port('mlflow')}"

    @property
    def metrics_ports(self) -> dict[str, int]:
        return {name: self.environment.port(f"{name}_metrics") for name in SERVICES}

    @property
    def scope(self) -> str:
        """The account's scope: real prices make a paper account, invented ones a simulated one."""
        return "PAPER" if self.environment.is_recording else "SIMULATED"

    @property
    def keys(self) -> Path:
        return self.environment.folder / "keys"

    @property
    def archive(self) -> Path:
        return self.environment.folder / "archive"

    @property
    def env(self) -> dict[str, str]:
        """What every program of ours gets: nothing of the caller's but what a process needs to live."""
        kept = {name: os.environ[name] for name in TAKEN_OVER if name in os.environ}
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "2")
        cache = str(self.root / ".cache" / "numba")
        return kept | threads | {"PYTHONPATH": str(self.root), "PYTHONUNBUFFERED": "1", "NUMBA_CACHE_DIR": cache}

    @property
    def foundation(self) -> list[Program]:
        """The broker (unless it is the user's own), MLflow and the venue: they need nobody."""
        env, folder = self.env, self.environment.folder
        ports = [str(self.environment.port(use)) for use in ("kafka", "kafka_controller", "mlflow")]
        module = [sys.executable, "-m"]
        kafka = [*module, "infra.kafka", "serve", "--folder", str(folder / "kafka"), "--port", ports[0]]
        mlflow = [*module, "infra.mlflow", "--folder", str(folder / "mlflow"), "--port", ports[2]]
        programs = [
            Program("mlflow", mlflow, env, lambda: mlflow_answers(self.mlflow_address), ready_seconds=120.0),
            self._venue(),
        ]
        if self.external_broker is None:
            argv = [*kafka, "--controller-port", ports[1]]
            programs.insert(0, Program("kafka", argv, env, lambda: broker_answers(self.bootstrap), ready_seconds=90.0))
        return programs

    def _venue(self) -> Program:
        recordings = ",".join(str(path) for path in self.environment.recordings)
        what = (
            {"RECORDINGS": recordings}
            if recordings
            else {"SEED": str(self.seed), "SIGNAL_STRENGTH": f"{self.environment.signal_strength:g}"}
        )
        told = {
            "HTTP_PORT": str(self.environment.port("exchange_simulator_http")),
            "STATE_DIR": str(self.environment.folder / "venue"),
            "KEY_FILE": str(self.environment.key_file),
            "INITIAL_BALANCE": str(INITIAL_BALANCE),
            "TRAINING_SECONDS": str(self.training_seconds),
            **what,
        }
        program = self._service("exchange_simulator", told, kafka=False)
        source = Source(self.simulator_address)
        return Program(program.name, program.argv, program.env, source.answers, ready_seconds=120.0)

    @property
    def services(self) -> list[Program]:
        return [self._archive(), self._feature_store(), self._model_serving(), self._order_routing()]

    @property
    def ingestion(self) -> Program:
        told = {
            "HTTP_URL": self.simulator_address,
            "STREAM_URL": self.simulator_address.replace("http", "ws", 1),
            "CATEGORY": "linear",
            "SYMBOLS": "BTCUSDT",
        }
        return self._service("data_ingestion", told)

    @property
    def make_keys_argv(self) -> list[str]:
        """Makes the environment's signing keys where they are absent."""
        return [sys.executable, "-m", "pipelines.retrain", "keys", "--keys", str(self.keys)]

    def retrain_argv(self, session: Session) -> list[str]:
        """The retraining of this environment's model from its own archive."""
        return [
            *(sys.executable, "-m", "pipelines.retrain", "--policy", "demo", "--json"),
            *("--archive", str(self.archive), "--instrument", session.instrument, "--session", session.session),
            *("--from", str(session.training_start_ns), "--to", str(session.training_end_ns)),
            *("--state", str(self.environment.folder / "retrain"), "--keys", str(self.keys)),
            *("--mlflow", self.mlflow_address, "--scope", self.scope),
            *("--kafka", self.bootstrap, "--topic-prefix", self.environment.topic_prefix),
            *("--bar-seconds", str(BAR_SECONDS), "--emission-ms", str(EMISSION_MS)),
            # A short stretch of real prices moves one way for minutes: a finer threshold leaves rows in every class.
            *(("--sigmas", "0.25") if self.environment.is_recording else ()),
            *("--maker-fee-bps", session.maker_fee_bps, "--taker-fee-bps", session.taker_fee_bps),
        ]

    def things_to_try(self, instrument: str) -> list[str]:
        """What a person can type or open while it runs."""
        port = self.environment.port
        halt = '{"state":"TRADING_STATE_HALTED","by":"me","reason":"trying"}'
        vector = '{"vector": .vectors[0]}'
        calls = {
            "services": (port("order_routing_grpc"), "list"),
            "features": (port("feature_store_grpc"), "features.v1.FeatureStoreService/DescribeFeatures"),
            "models": (port("model_serving_grpc"), "predictions.v1.ModelServingService/DescribeModels"),
            "orders": (port("order_routing_grpc"), "orders.v1.OrderRoutingService/ListOrders"),
        }
        read = f"localhost:{port('feature_store_grpc')} features.v1.FeatureStoreService/GetFeatures"
        predict = f"localhost:{port('model_serving_grpc')} predictions.v1.ModelServingService/Predict"
        stop = f"localhost:{port('order_routing_grpc')} orders.v1.OrderRoutingService/SetTradingState"
        metrics = " ".join(f":{number}" for number in self.metrics_ports.values())
        return [
            f"{'MLflow':13} {self.mlflow_address}",
            f"{'venue':13} {self.simulator_address}/simulator/v1/sessions",
            f"{'metrics':13} http://127.0.0.1 {metrics} /metrics",
            *(f"{what:13} grpcurl -plaintext localhost:{at} {rpc}" for what, (at, rpc) in calls.items()),
            f'{"predict":13} grpcurl -plaintext -d \'{{"instruments":["{instrument}"]}}\' {read} '
            f"| jq '{vector}' | grpcurl -plaintext -d @ {predict}",
            f"{'stop trading':13} grpcurl -plaintext -d '{halt}' {stop}",
            f"{'logs':13} {self.environment.folder / 'logs'}",
        ]

    def _archive(self) -> Program:
        return self._service("archive", {"FOLDER": str(self.archive), "ROLL_SECONDS": "2"})

    def _feature_store(self) -> Program:
        return self._service("feature_store", {"BAR_SECONDS": str(BAR_SECONDS), "EMISSION_MS": str(EMISSION_MS)})

    def _model_serving(self) -> Program:
        told = {
            "MLFLOW_URI": self.mlflow_address,
            "REQUIRED_SCOPE": self.scope,
            "BAR_INTERVAL_NS": str(BAR_SECONDS * 1_000_000_000),
            "EMISSION_INTERVAL_NS": str(EMISSION_MS * 1_000_000),
            "CACHE_FOLDER": str(self.environment.folder / "models"),
            **self._trusted(),
        }
        return self._service("model_serving", told)

    def _order_routing(self) -> Program:
        told = {
            "ACCOUNT": "demo",
            "SCOPE": self.scope,
            "STATE_DIR": str(self.environment.folder / "router"),
            "VENUE__HTTP_URL": self.simulator_address,
            "VENUE__STREAM_URL": self.simulator_address.replace("http", "ws", 1) + "/v5/private",
            "VENUE__KEY_FILE": str(self.environment.key_file),
            **self._trusted(),
        }
        return self._service("order_routing", told)

    def _trusted(self) -> dict[str, str]:
        return {
            "INTEGRITY_KEYS": str(self.keys / "training.public.pem"),
            "GATE_KEYS": str(self.keys / "gate.public.pem"),
        }

    def _service(self, name: str, told: Mapping[str, str], *, kafka: bool = True) -> Program:
        """A service with the names that all of them share."""
        port = self.environment.port
        shared = {"GRPC_PORT": str(port(f"{name}_grpc")), "METRICS_PORT": str(port(f"{name}_metrics"))}
        if kafka:
            shared |= {"KAFKA__BOOTSTRAP": self.bootstrap, "KAFKA__TOPIC_PREFIX": self.environment.topic_prefix}
        prefix = f"{name.upper()}_"
        env = self.env | {prefix + key: value for key, value in (shared | dict(told)).items()}
        argv = [sys.executable, "-m", f"services.{name}"]
        return Program(name, argv, env, health_check(port(f"{name}_grpc")), ready_seconds=120.0)


def health_check(port: int) -> Callable[[], bool]:
    """Whether the gRPC server on that port says SERVING."""

    def is_serving() -> bool:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return is_serving
