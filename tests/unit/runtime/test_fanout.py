"""Watchers see what they asked for; one that is too slow is let go, and nobody waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from libs.runtime.fanout import Fanout, TooSlow
from tests.builders.processes import wait_for

METHOD = "/test.Watch/Follow"


def a_fanout(max_behind: int = 3) -> Fanout[str]:
    return Fanout[str](max_behind)


def test_a_watcher_sees_its_keys_in_order_and_one_without_keys_sees_all() -> None:
    fanout = a_fanout()
    with fanout.join(frozenset({"a"})) as one, fanout.join(frozenset()) as everything:
        fanout.show("a", "1")
        fanout.show("b", "2")
        assert [one.take(0), one.take(0.001)] == ["1", None]
        assert [everything.take(0), everything.take(0)] == ["1", "2"]


def test_who_has_left_is_shown_nothing() -> None:
    fanout = a_fanout()
    with fanout.join(frozenset()) as gone:
        pass
    fanout.show("a", "1")
    assert gone.take(0.001) is None


def test_who_falls_behind_is_let_go_and_holds_up_nobody() -> None:
    fanout = a_fanout(max_behind=3)
    with fanout.join(frozenset()) as slow, fanout.join(frozenset()) as quick:
        for number in range(4):
            fanout.show("a", str(number))
            assert quick.take(0) == str(number)
        with pytest.raises(TooSlow, match="more than 3"):
            slow.take(0)


@contextmanager
def served(fanout: Fanout[str]) -> Iterator[grpc.Channel]:
    """The fan-out behind a real stream."""

    def follow(request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        for item in fanout.follow(frozenset(filter(None, request.decode().split(","))), context):
            yield item.encode()

    handlers = {"Follow": grpc.unary_stream_rpc_method_handler(follow)}
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Watch", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    server.stop(0).wait()


def follow(channel: grpc.Channel, keys: str = "") -> Any:
    call = channel.unary_stream(METHOD, None, None)(keys.encode(), timeout=20.0)
    call.initial_metadata()  # returns when the place is taken
    return call


def test_what_is_shown_after_the_headers_is_seen() -> None:
    fanout = a_fanout()
    with served(fanout) as channel:
        call = follow(channel, "a,c")
        for key in ("a", "b", "c"):
            fanout.show(key, key)
        assert [next(call), next(call)] == [b"a", b"c"]
        call.cancel()
        wait_for(lambda: not fanout._watchers, 5.0, "a caller that went is forgotten")


def test_a_stream_that_is_too_slow_ends_with_a_reason() -> None:
    fanout = a_fanout(max_behind=1)
    with served(fanout) as channel:
        call = follow(channel)
        large = "x" * 1_000_000  # more than the connection's own buffers take
        for _ in range(200):
            fanout.show("a", large)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
