"""Errors of rpcs carry google.rpc details that a client can read."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from libs.runtime.grpc_errors import abort


class Ended(Exception):
    """What grpc raises in a handler when a call is ended."""


class Context:
    status: Any = None

    def abort_with_status(self, status: Any) -> None:
        self.status = status
        raise Ended


def end(code: grpc.StatusCode, message: str, **details: Any) -> Any:
    context = Context()
    with pytest.raises(Ended):
        abort(context, code, message, **details)  # type: ignore[arg-type]
    return context.status


def details_of(status: Any) -> list[Any]:
    class Call:
        def trailing_metadata(self) -> Any:
            return status.trailing_metadata

        def code(self) -> grpc.StatusCode:
            return status.code  # type: ignore[no-any-return]

        def details(self) -> str:
            return status.details  # type: ignore[no-any-return]

    call: Any = Call()
    return list(rpc_status.from_call(call).details)


def test_code_and_message_are_the_status() -> None:
    status = end(grpc.StatusCode.NOT_FOUND, "no such instrument")
    assert (status.code, status.details) == (grpc.StatusCode.NOT_FOUND, "no such instrument")
    assert details_of(status) == []


def test_violations_name_fields() -> None:
    [packed] = details_of(end(grpc.StatusCode.INVALID_ARGUMENT, "bad", violations={"orders[0].qty": "is negative"}))
    found = error_details_pb2.BadRequest()
    assert packed.Unpack(found)
    assert [(one.field, one.description) for one in found.field_violations] == [("orders[0].qty", "is negative")]


def test_reason_and_retry_come_together() -> None:
    code = grpc.StatusCode.UNAVAILABLE
    first, second = details_of(end(code, "no", reason="NO_MODEL", metadata={"alias": "champion"}, retry_s=2.5))
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert first.Unpack(info)
    assert second.Unpack(retry)
    assert (info.reason, dict(info.metadata)) == ("NO_MODEL", {"alias": "champion"})
    assert retry.retry_delay.ToTimedelta().total_seconds() == 2.5
