"""Data ingestion as rpcs: asks the handlers and says each refusal in the agreed status."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from typing import Any

import grpc

from libs.runtime.fanout import Fanout
from libs.runtime.grpc_errors import abort
from libs.runtime.service import StreamCap
from libs.trading.market import SessionClock
from protos.ingestion.v1 import ingestion_pb2 as pb
from protos.ingestion.v1 import ingestion_pb2_grpc
from protos.market.v1 import market_pb2
from services.data_ingestion.domain import FeedStatus, NoSource
from services.data_ingestion.handlers.operate import BadStretch, Operations, UnknownInstrument
from services.data_ingestion.ports import VenueUnavailable

SERVICE = "ingestion.v1.DataIngestionService"
MAX_PAGE = 1000
DEFAULT_PAGE = 100
MAX_WATCHED = 1000
RETRY_S = 2.0
INVALID = grpc.StatusCode.INVALID_ARGUMENT


class DataIngestionApi(ingestion_pb2_grpc.DataIngestionServiceServicer):
    def __init__(self, operations: Operations, watchers: Fanout[bytes]) -> None:
        self._operations, self._watchers = operations, watchers
        self._streams = StreamCap()

    def ListFeeds(self, request: pb.ListFeedsRequest, context: grpc.ServicerContext) -> pb.ListFeedsResponse:
        if not 0 <= request.page_size <= MAX_PAGE:
            abort(context, INVALID, "no such page", violations={"page_size": f"not within 0 and {MAX_PAGE}"})
        feeds = [status for status in self._operations.all_feeds() if status.instrument > request.page_token]
        page = feeds[: request.page_size or DEFAULT_PAGE]
        token = page[-1].instrument if len(page) < len(feeds) else ""
        return pb.ListFeedsResponse(feeds=[feed_message(status) for status in page], next_page_token=token)

    def GetFeedStatus(
        self, request: pb.GetFeedStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetFeedStatusResponse:
        with refusals(context):
            return pb.GetFeedStatusResponse(feed=feed_message(self._operations.feed(request.instrument)))

    def AddInstrument(
        self, request: pb.AddInstrumentRequest, context: grpc.ServicerContext
    ) -> pb.AddInstrumentResponse:
        check_name(request.instrument, "instrument", context)
        with refusals(context):
            return pb.AddInstrumentResponse(feed=feed_message(self._operations.add(request.instrument)))

    def RemoveInstrument(
        self, request: pb.RemoveInstrumentRequest, context: grpc.ServicerContext
    ) -> pb.RemoveInstrumentResponse:
        with refusals(context):
            self._operations.remove(request.instrument)
        return pb.RemoveInstrumentResponse()

    def Backfill(self, request: pb.BackfillRequest, context: grpc.ServicerContext) -> pb.BackfillResponse:
        check_name(request.instrument, "instrument", context)
        with refusals(context):
            records = self._operations.backfill(request.instrument, request.from_ns, request.to_ns)
        return pb.BackfillResponse(records=records)

    def WatchEvents(
        self, request: pb.WatchEventsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchEventsResponse]:
        if len(request.instruments) > MAX_WATCHED:
            abort(context, INVALID, "too many", violations={"instruments": f"more than {MAX_WATCHED}"})
        with refusals(context):
            for instrument in request.instruments:
                self._operations.feed(instrument)
        with self._streams.hold(context):
            for record in self._watchers.follow(frozenset(request.instruments), context):
                yield pb.WatchEventsResponse(events=market_pb2.MarketEvents.FromString(record))


@contextmanager
def refusals(context: grpc.ServicerContext) -> Iterator[None]:
    """Ends the call in the agreed status when a handler refuses."""
    try:
        yield
    except UnknownInstrument as error:
        abort(context, grpc.StatusCode.NOT_FOUND, str(error), reason="UNKNOWN_INSTRUMENT")
    except BadStretch as error:
        abort(context, INVALID, str(error), violations={"to_ns": str(error)})
    except NoSource as error:
        abort(context, grpc.StatusCode.NOT_FOUND, str(error), reason="NO_SOURCE")
    except VenueUnavailable as error:
        abort(context, grpc.StatusCode.UNAVAILABLE, str(error), reason="VENUE_UNAVAILABLE", retry_s=RETRY_S)
    except (FutureTimeout, TimeoutError):
        abort(context, grpc.StatusCode.UNAVAILABLE, "the broker does not answer", reason="BROKER", retry_s=RETRY_S)


def check_name(instrument: str, field: str, context: grpc.ServicerContext) -> None:
    if not (instrument.count(".") == 2 and all(instrument.split(".")) and len(instrument) <= 100):
        wrong = {field: "not venue.category.symbol"}
        abort(context, INVALID, f"{instrument[:100]!r} is no instrument", violations=wrong)


def feed_message(status: FeedStatus) -> pb.FeedStatus:
    clock = status.clock
    state: Any = pb.FeedState.Value(f"FEED_STATE_{status.state.name}")
    provenance: Any = int(status.provenance or 0)
    return pb.FeedStatus(
        instrument=status.instrument,
        state=state,
        session=status.session,
        epoch=status.epoch or 0,
        next_seq=status.next_seq,
        provenance=provenance,
        last_event_time_ns=status.last_event_time,
        events=status.events,
        gaps=status.gaps,
        quarantined=status.quarantined,
        last_error=status.last_error,
        clock=None if clock is None else clock_message(clock),
    )


def clock_message(clock: SessionClock) -> market_pb2.SessionClock:
    return market_pb2.SessionClock(
        wall_anchor_ns=clock.wall_anchor_ns, session_anchor_ns=clock.session_anchor_ns, rate=clock.rate
    )
