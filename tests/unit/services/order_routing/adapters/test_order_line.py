"""Orders travel over kept connections; a failure says whether the venue can have seen the request."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from infra.daemon import free_port
from services.order_routing.adapters.order_line import NoAnswer, NothingSent, OrderLine

OK = b"HTTP/1.1 200 OK\r\nX-Limit: 7\r\nContent-Length: 2\r\n\r\n{}"
LAST = OK.replace(b"X-Limit: 7", b"Connection: close")
Reply = Callable[[socket.socket, bytes], bool]  # whether the connection stays


class Listener:
    """A server that keeps what it was sent, connection by connection, and answers as the script says."""

    def __init__(self, *script: Reply) -> None:
        self.heard: list[tuple[int, bytes]] = []
        self._script = iter(script)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for number in range(10):
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                while request := whole_request(connection):
                    self.heard.append((number, request))
                    if not next(self._script)(connection, request):
                        break

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5.0)


def whole_request(connection: socket.socket) -> bytes:
    """Head and body; nothing when the other side has left."""
    with connection.makefile("rb") as file:
        head = b"".join(iter(file.readline, b"\r\n")) if file.peek(1) else b""
        length = re.search(rb"Content-Length: (\d+)", head)
        return head and head + b"\r\n" + file.read(int(length[1]) if length else 0)


def answers(text: bytes, stays: bool = True) -> Reply:
    def reply(connection: socket.socket, _request: bytes) -> bool:
        connection.sendall(text)
        return stays

    return reply


@pytest.fixture
def opened() -> Iterator[Callable[..., tuple[Listener, OrderLine]]]:
    ends: list[Listener | OrderLine] = []

    def open_both(*script: Reply) -> tuple[Listener, OrderLine]:
        listener = Listener(*script)
        line = OrderLine(listener.url, 0.3)
        ends.extend((line, listener))
        return listener, line

    yield open_both
    for end in ends:
        end.close()


def test_requests_share_a_connection_and_each_tells_when_it_is_written(
    opened: Callable[..., tuple[Listener, OrderLine]],
) -> None:
    listener, line = opened(answers(OK), answers(OK))
    written: list[int] = []
    for number in (1, 2):
        answer = line.send("POST", "/order", b'{"n":1}', {"X-Sign": "s"}, lambda: written.append(len(listener.heard)))
        assert (answer.status, answer.headers["x-limit"], answer.content) == (200, "7", b"{}")
        assert len(written) == number
    assert [number for number, _ in listener.heard] == [0, 0]
    request = listener.heard[0][1]
    assert request.startswith(b"POST /order HTTP/1.1\r\n")
    assert b"X-Sign: s\r\n" in request
    assert request.endswith(b'\r\n\r\n{"n":1}')


@pytest.mark.parametrize("farewell", [answers(LAST, stays=False), answers(OK, stays=False)], ids=["said", "unsaid"])
def test_a_connection_that_the_venue_has_closed_is_not_used_again(
    opened: Callable[..., tuple[Listener, OrderLine]], farewell: Reply
) -> None:
    listener, line = opened(farewell, answers(OK))
    line.send("POST", "/order", b"1")
    threading.Event().wait(0.05)  # until the end of the connection has arrived
    assert line.send("POST", "/order", b"2").status == 200
    assert [number for number, _ in listener.heard] == [0, 1]


def test_without_a_listener_nothing_was_sent() -> None:
    written: list[bool] = []
    with pytest.raises(NothingSent, match="refused"):
        OrderLine(f"http://127.0.0.1:{free_port()}", 0.3).send("POST", "/", b"1", {}, lambda: written.append(True))
    assert written == []


@pytest.mark.parametrize(
    "reply",
    [answers(b"", stays=False), answers(b""), answers(OK[:-1], stays=False), answers(b"no")],
    ids=["closed", "silent", "cut", "silent after a word"],
)
def test_a_request_without_a_whole_answer_may_have_arrived(
    opened: Callable[..., tuple[Listener, OrderLine]], reply: Reply
) -> None:
    listener, line = opened(reply, answers(OK))
    written: list[bool] = []
    with pytest.raises(NoAnswer):
        line.send("POST", "/order", b"1", {}, lambda: written.append(True))
    assert written == [True]
    assert line.send("GET", "/time").content == b"{}"
    assert [number for number, _ in listener.heard] == [0, 1]  # sent once, and never over that connection again
