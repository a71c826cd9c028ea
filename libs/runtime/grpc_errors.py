"""Ends an rpc with a status and the google.rpc details that say what to change, why, or when to come back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "trading-platform"


def abort(
    context: grpc.ServicerContext,
    code: grpc.StatusCode,
    message: str,
    *,
    violations: Mapping[str, str] | None = None,
    reason: str | None = None,
    metadata: Mapping[str, str] | None = None,
    retry_s: float | None = None,
) -> NoReturn:
    """End the call. `violations` maps a field's path to what is wrong with it, `reason` is a fixed UPPER_SNAKE word for
    programs (with its `metadata`), `retry_s` is when trying again makes sense."""
    details: list[Message] = []
    if violations:
        details.append(bad := error_details_pb2.BadRequest())
        for field, text in violations.items():
            bad.field_violations.add(field=field, description=text)
    if reason is not None:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=dict(metadata or {})))
    if retry_s is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(round(retry_s * 1e9))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        packed.append(any_pb2.Any())
        packed[-1].Pack(detail)
    status = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=message, details=packed)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status returned")
