"""A venue's announced fees: read where they are, waited for where the venue is away, refused where it has none."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.retrain.adapters.run_folder import NotYet, RunError
from pipelines.retrain.adapters.venue_fees import PATH, announced_fees

BTC = "bybit.linear.BTCUSDT"
ANNOUNCED = {"sessions": [{"instrument": BTC, "market": {"maker_fee_bps": 1.5, "taker_fee_bps": 4.0}}]}


@contextmanager
def a_venue(status: int, body: str) -> Iterator[str]:
    """The address of one that answers so."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == PATH else 404)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *said: object) -> None:
            """Quietly."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_the_announced_fees_are_makers_and_takers_in_bps() -> None:
    with a_venue(200, json.dumps(ANNOUNCED)) as venue:
        assert announced_fees(f"{venue}/", BTC) == (1.5, 4.0)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, json.dumps({"sessions": []}), f"announces no fees of {BTC}"),
        (200, "<html>", "no announcement at"),
        (200, json.dumps([]), "has another shape"),
        (404, "", "HTTP 404; only a simulator announces its fees"),
    ],
)
def test_a_venue_that_announces_no_fees_is_refused(status: int, body: str, message: str) -> None:
    with a_venue(status, body) as venue, pytest.raises(RunError, match=message) as refused:
        announced_fees(venue, BTC)
    assert not isinstance(refused.value, NotYet)


def test_a_venue_that_is_not_ready_or_not_there_may_come() -> None:
    with a_venue(503, "") as venue, pytest.raises(NotYet, match="HTTP 503"):
        announced_fees(venue, BTC)
    with pytest.raises(NotYet, match="does not answer"):
        announced_fees("http://127.0.0.1:9", BTC)
