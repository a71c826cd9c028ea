"""A venue's process on free ports, and a client that signs."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from infra.daemon import free_port

KEY, SECRET = "key-of-a-test", "secret-of-a-test"
ROOT = Path(__file__).parents[3]
START_S = 60.0


@dataclass
class VenueProcess:
    """A running venue; `kill` is SIGKILL."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def session(self) -> dict[str, Any]:
        session: dict[str, Any] = httpx.get(f"{self.address}/simulator/v1/sessions").json()["sessions"][0]
        return session

    def wait_for(self, state: str, seconds: float = START_S) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                found = self.session()
            except httpx.HTTPError:
                assert self.process.poll() is None, "the venue ended"
            else:
                if found["state"] == state:
                    return found
            time.sleep(0.05)
        raise AssertionError(f"the venue is not {state} after {seconds} s")


@contextmanager
def a_venue_process(folder: Path, **settings: str) -> Iterator[VenueProcess]:
    """Its state is kept in `folder`, so that a second one goes on with it."""
    key_file = folder / "venue.json"
    folder.mkdir(parents=True, exist_ok=True)
    key_file.write_text(json.dumps({"key": KEY, "secret": SECRET}))
    port = free_port()
    names = {
        "GRPC_PORT": str(free_port()), "METRICS_PORT": str(free_port()), "HTTP_PORT": str(port),
        "STATE_DIR": str(folder / "state"), "KEY_FILE": str(key_file), "INITIAL_BALANCE": "10000",
        "TRAINING_SECONDS": "5", "PLAY_AT_ONCE": "true", "FAULTS_ALLOWED": "true", "ORDERS_PER_SECOND": "100",
    } | settings  # fmt: skip
    environment = os.environ | {f"EXCHANGE_SIMULATOR_{name}": value for name, value in names.items()}
    process = subprocess.Popen([sys.executable, "-m", "services.exchange_simulator"], cwd=ROOT, env=environment)
    try:
        yield VenueProcess(process, port)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(20)


class Client:
    """Signs as the venue's documentation says."""

    def __init__(self, address: str, timeout_s: float = 30.0) -> None:
        self._http = httpx.Client(base_url=address, trust_env=False, timeout=timeout_s)

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        text = json.dumps(body)
        answer: dict[str, Any] = self._http.post(path, content=text, headers=signed(text)).json()
        return answer

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        query = urlencode(params)
        answer: dict[str, Any] = self._http.get(f"{path}?{query}", headers=signed(query)).json()
        return answer

    def order(self, side: str = "Buy", qty: str = "0.01", **more: Any) -> dict[str, Any]:
        kind = "Limit" if "price" in more else "Market"
        body = {"category": "linear", "symbol": "BTCUSDT", "side": side, "orderType": kind, "qty": qty}
        return self.post("/v5/order/create", **(body | more))

    def rows(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every row of a paged answer."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            asked = {"category": "linear", "symbol": "BTCUSDT", **params} | ({"cursor": cursor} if cursor else {})
            result = self.get(path, **asked)["result"]
            found += result["list"]
            cursor = result["nextPageCursor"]
            if not cursor:
                return found


def signed(payload: str, stamp_ms: int | None = None, secret: str = SECRET, key: str = KEY) -> dict[str, str]:
    stamp = str(stamp_ms if stamp_ms is not None else time.time_ns() // 1_000_000)
    digest = hmac.new(secret.encode(), f"{stamp}{key}5000{payload}".encode(), hashlib.sha256).hexdigest()
    return {
        "X-BAPI-API-KEY": key,
        "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": "5000",
        "X-BAPI-SIGN": digest,
        "Content-Type": "application/json",
    }
