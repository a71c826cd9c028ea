"""A real venue process, a real broker and real router processes, and the words to ask them."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from infra.daemon import Daemon, free_port
from libs.bundle import trust
from libs.bundle.keys import generate
from libs.bundle.verdict import EvidenceVerdict, IntegrityVerdict, Line, sign, to_message
from libs.runtime.kafka import KafkaConfig, open_producer
from libs.trading.market import Provenance, Quote, SessionClock
from libs.trading.scoring import Prediction
from libs.wire.predictions import encode_prediction
from protos.models.v1 import models_pb2
from protos.orders.v1 import orders_pb2, orders_pb2_grpc
from services.order_routing.adapters.bybit_rest import BybitVenue
from services.order_routing.adapters.bybit_signing import Credentials
from tests.builders.orders import a_prediction
from tests.builders.processes import ServiceProcess, wait_for

KEY = Credentials("paper-key", "paper-secret")
DIGEST = "digest-of-the-tests"
PASSED = (Line("all", True, "1", "1", "a test"),)


@dataclass
class VenuePlace:
    """The simulator as a process, played to its trading stretch; somebody listens to its market all the time."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"
        self.market = f"ws://127.0.0.1:{self.port}/v5/public/linear"
        self.stream = f"ws://127.0.0.1:{self.port}/v5/private"
        self.key_file = self.folder / "venue.json"
        self.key_file.write_text(json.dumps({"key": KEY.key, "secret": KEY.secret}))
        named = {
            "GRPC_PORT": free_port(),
            "METRICS_PORT": free_port(),
            "HTTP_PORT": self.port,
            "STATE_DIR": self.folder / "venue",
            "KEY_FILE": self.key_file,
            "INITIAL_BALANCE": 100_000,
            "TRAINING_SECONDS": 5,
            "PLAY_AT_ONCE": "true",
            "FAULTS_ALLOWED": "true",
        }
        env = os.environ | {f"EXCHANGE_SIMULATOR_{name}": str(value) for name, value in named.items()}
        argv = [sys.executable, "-m", "services.exchange_simulator"]
        self.daemon = Daemon(
            "simulator", argv, env, self.folder / "venue.log", lambda: self.session() is not None, 40.0
        )
        self.asking = BybitVenue(self.url, KEY, time.time_ns)
        self._stop = threading.Event()
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        self.daemon.start()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        wait_for(lambda: (self.session() or {}).get("state") == "TRADING", 40.0, "the venue trades")

    def stop(self) -> None:
        self._stop.set()
        if self._listener is not None:
            self._listener.join(5.0)
        self.asking.close()
        self.daemon.stop()

    def session(self) -> dict[str, Any] | None:
        with suppress(httpx.HTTPError):
            sessions = httpx.get(f"{self.url}/simulator/v1/sessions", timeout=10.0).json()["sessions"]
            found: dict[str, Any] = sessions[0]
            return found
        return None

    def fault(self, **fault: Any) -> None:
        assert httpx.post(f"{self.url}/simulator/v1/faults", json=fault, timeout=10.0).status_code == 200

    def _listen(self) -> None:
        topics = ["orderbook.50.BTCUSDT", "publicTrade.BTCUSDT"]
        while not self._stop.is_set():
            with suppress(OSError, WebSocketException), connect(self.market, max_size=None, proxy=None) as socket:
                socket.send(json.dumps({"op": "subscribe", "args": topics}))
                while not self._stop.is_set():
                    with suppress(TimeoutError):
                        socket.recv(timeout=0.2)

    def quote(self) -> Quote:
        answer = httpx.get(
            f"{self.url}/v5/market/orderbook",
            params={"category": "linear", "symbol": "BTCUSDT", "limit": 1},
            timeout=10.0,
        ).json()["result"]
        (bid, bid_size), (ask, ask_size) = answer["b"][0], answer["a"][0]
        return Quote(float(bid), float(bid_size), float(ask), float(ask_size))


class RouterPlace(ServiceProcess):
    """One account's state folder and keys; `start` may be called again after a death."""

    def __init__(self, kafka: KafkaConfig, venue: VenuePlace, folder: Path) -> None:
        self.venue, self.folder = venue, folder
        self.training = generate(folder / "training.pem", folder / "training.pub")
        self.gate = generate(folder / "gate.pem", folder / "gate.pub")
        self.producer = open_producer(kafka, "test-predictions")
        self._made = 0
        settings = {
            "ACCOUNT": "paper",
            "SCOPE": "SIMULATED",
            "STATE_DIR": str(folder / "state"),
            "VENUE__HTTP_URL": venue.url,
            "VENUE__STREAM_URL": venue.stream,
            "VENUE__KEY_FILE": str(venue.key_file),
            "VENUE__RECEIVE_WINDOW_MS": "1000",
            "DOUBT_MARGIN_MS": "300",
            "LEASE_MS": "1000",
            "INTEGRITY_KEYS": str(folder / "training.pub"),
            "GATE_KEYS": str(folder / "gate.pub"),
            "UNIT_NOTIONAL": "1000",
            "RISK__MAX_VECTOR_AGE_MS": "20000",
            "RISK__MAX_PREDICTION_AGE_MS": "20000",
        }
        super().__init__("order_routing", kafka, folder / "router.log", settings)

    def start(self, module: str | None = None, *argv: str, wait: bool = True, **changes: str) -> None:
        super().start(module, *argv, wait=wait, **changes)
        assert self.channel is not None
        self.rpc = orders_pb2_grpc.OrderRoutingServiceStub(self.channel)

    def wait_for_death(self, seconds: float = 30.0) -> int:
        assert self.process is not None
        code = self.process.wait(seconds)
        self.process = None
        return code

    def vouch(self, scope: trust.Scope = trust.Scope.SIMULATED) -> None:
        """Sign both verdicts of the tests' bundle and tell them on models.events."""
        provenance = trust.Provenance.SIMULATED
        integrity = IntegrityVerdict(DIGEST, "files", "report", provenance, True, PASSED)
        evidence = EvidenceVerdict(DIGEST, "report", provenance, True, scope, "demo", "policy", PASSED)
        event = models_pb2.ModelEvent(
            model_name="ProductionEnsemble",
            version=1,
            bundle_digest=DIGEST,
            integrity=to_message(sign(integrity, self.training)),
            evidence_verdict=to_message(sign(evidence, self.gate)),
        )
        sent = self.producer.send("models.events", key=b"ProductionEnsemble", value=event.SerializeToString())
        sent.result(10.0)

    def predict(self, up: float = 0.6, down: float = 0.1, **parts: Any) -> Prediction:
        """Make one prediction of now, on the venue's own quote and clock, and put it on the topic."""
        session = self.venue.session()
        assert session is not None
        clock = SessionClock(**session["clock"])
        now = time.time_ns()
        self._made += 1
        prediction = a_prediction(
            up=up,
            down=down,
            now=now,
            as_of=clock.session_time(now),
            instrument=session["instrument"],
            session=session["session"],
            bundle_digest=DIGEST,
            provenance=Provenance[session["provenance"]],
            received_time=clock.session_time(now),
            clock=clock,
            quote=self.venue.quote(),
            horizon=3_600_000_000_000,
        )
        prediction = replace(prediction, **parts)
        key = prediction.instrument.encode()
        self.producer.send("predictions", key=key, value=encode_prediction(prediction)).result(10.0)
        return prediction

    def explain(self, prediction: Prediction) -> orders_pb2.ExplainDecisionResponse | None:
        with suppress(grpc.RpcError):
            request = orders_pb2.ExplainDecisionRequest(prediction_id=prediction.id)
            return self.rpc.ExplainDecision(request, timeout=10.0)
        return None

    def settled(self, prediction: Prediction) -> orders_pb2.ExplainDecisionResponse | None:
        """The decision once all of its orders are over."""
        over = {
            orders_pb2.ORDER_STATE_FILLED,
            orders_pb2.ORDER_STATE_CANCELLED,
            orders_pb2.ORDER_STATE_REJECTED,
            orders_pb2.ORDER_STATE_NOT_ACCEPTED,
        }
        found = self.explain(prediction)
        return found if found is not None and all(order.state in over for order in found.orders) else None
