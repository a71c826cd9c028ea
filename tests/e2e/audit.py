"""Joins venue, journal, topics and archive by id and names every difference: nothing lost, nothing doubled."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from libs.runtime.kafka import KafkaConfig, Record
from libs.trading.decisions import Decision
from libs.trading.orders import Fill, Order
from libs.trading.scoring import Role
from libs.wire.archive import ArchiveReader
from libs.wire.features import decode_vector
from libs.wire.market import decode_record
from libs.wire.orders import decode_event
from libs.wire.predictions import decode_prediction
from tests.builders.topics import read_topic

RECEIVE_WINDOW_MS = 5000
TOPICS_FILE = Path(__file__).parents[2] / "protos" / "topics.yaml"


class Journal(Protocol):
    """The router's journal as it is read here; a connection to SQLite is one."""

    def execute(self, query: str, /) -> Iterable[Any]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the four accounts of one history lie."""

    venue: str
    key_file: Path
    journal: Path
    archive: Path
    kafka: KafkaConfig


@dataclass(slots=True)
class Report:
    """What was compared, and every difference found; no difference is the only good result."""

    compared: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def check(self, holds: bool, difference: str) -> None:
        if not holds:
            self.differences.append(difference)

    def same(self, what: str, one: Counter[Any], other: Counter[Any], names: tuple[str, str]) -> None:
        """Two multisets must be equal; a key twice on one side is a difference too."""
        self.compared[what] = sum(one.values())
        for missing, name in (((one - other), names[1]), ((other - one), names[0])):
            for key, count in list(missing.items())[:5]:
                self.differences.append(f"{what}: {key} ×{count} is missing in {name}")


def audit(place: Place) -> Report:
    """Compare everything. The platform must be idle or stopped apart from venue and broker."""
    topics = {row["name"]: read_topic(place.kafka, row["name"]) for row in marked_topics()}
    journal = sqlite3.connect(f"file:{place.journal}?mode=ro", uri=True)
    try:
        return join(topics, place.archive, journal, Venue(place.venue, place.key_file))
    finally:
        journal.close()


def join(topics: dict[str, list[Record]], archive: Path, journal: Journal, venue: Venue) -> Report:
    """The four accounts of one history, compared."""
    report = Report()
    audit_archive(report, archive, topics)
    audit_market(report, topics["market.events"])
    audit_scores(report, topics["features.vectors"], topics["predictions"])
    audit_journal(report, journal, topics["orders.events"], topics["predictions"])
    audit_venue(report, journal, venue)
    return report


def audit_archive(report: Report, folder: Path, topics: dict[str, list[Record]]) -> None:
    """The archive holds what the topics hold, byte for byte, up to where it has come."""
    reader = ArchiveReader(folder)
    for topic, records in topics.items():
        archived = {(r.partition, r.offset): (r.key, r.value) for r in reader.records(topic)}
        sent = {(r.partition, r.offset): (r.key, r.value) for r in records}
        report.compared[f"archive of {topic}"] = len(sent)
        lost = sorted(set(sent) - set(archived))
        report.check(not lost, f"archive of {topic}: {len(lost)} records are missing, the first at {lost[:1]}")
        changed = [at for at in sent.keys() & archived.keys() if sent[at] != archived[at]]
        report.check(not changed, f"archive of {topic}: other bytes at {sorted(changed)[:3]}")


def audit_market(report: Report, records: Sequence[Record]) -> None:
    """Every epoch is opened by a gap, and its sequence begins at 0 and has no hole."""
    following: dict[tuple[str, str, int], int] = {}
    report.compared["market records"] = len(records)
    for record in records:
        head = decode_record(record.value or b"").head
        if head.epoch == 0:  # the opening gap: its offset is the epoch of what follows
            following[head.instrument, head.session, record.offset] = 0
            continue
        key = (head.instrument, head.session, head.epoch)
        report.check(key in following, f"market.events {key}: an epoch that no gap opened")
        wanted = following.get(key, head.seq)
        report.check(head.seq == wanted, f"market.events {key}: seq {head.seq} instead of {wanted}")
        following[key] = head.seq + 1


def audit_scores(report: Report, vectors: Sequence[Record], predictions: Sequence[Record]) -> None:
    """A vector's id has one content; a prediction's id has one content and its vector exists."""
    seen: dict[str, bytes] = {}
    for record in vectors:
        vector = decode_vector(record.value or b"")
        payload = vector.values.tobytes()
        report.check(seen.setdefault(vector.id, payload) == payload, f"vector {vector.id} has two contents")
    report.compared["vectors by id"] = len(seen)
    scored: dict[str, tuple[float, ...]] = {}
    for record in predictions:
        prediction = decode_prediction(record.value or b"")
        report.check(prediction.vector_id in seen, f"prediction {prediction.id}: no vector {prediction.vector_id}")
        known = scored.setdefault(prediction.id, prediction.probabilities)
        report.check(known == prediction.probabilities, f"prediction {prediction.id} has two contents")
    report.compared["predictions by id"] = len(scored)


def audit_journal(report: Report, journal: Journal, events: Sequence[Record], predictions: Sequence[Record]) -> None:
    """The topic tells the journal's whole story in order, each prediction has one decision, each entry one order."""
    by_sequence: dict[int, bytes] = {}
    for record in events:
        event = decode_event(record.value or b"")
        report.check(event.sequence not in by_sequence, f"orders.events: sequence {event.sequence} is there twice")
        by_sequence[event.sequence] = record.value or b""
    report.check(sorted(by_sequence) == list(range(1, len(by_sequence) + 1)), "orders.events: the sequence has holes")
    facts = [decode_event(value).fact for _, value in sorted(by_sequence.items())]
    said_fills = Counter(fact.execution_id for fact in facts if isinstance(fact, Fill))
    said_decisions = Counter(fact.decision_key for fact in facts if isinstance(fact, Decision))
    said_orders = {fact.client_order_id: fact.state.name for fact in facts if isinstance(fact, Order)}
    kept_orders = dict(journal.execute("select client_order_id, state from orders"))
    report.same("fills", column(journal, "select execution_id from executions"), said_fills, ("journal", "topic"))
    decided = column(journal, "select decision_key from decisions")
    report.same("decisions", decided, said_decisions, ("journal", "topic"))
    report.check(said_orders == kept_orders, f"orders: the topic ends with {differing(said_orders, kept_orders)}")
    read = {row[0]: row[1] for row in journal.execute("select partition, next_offset from input_offsets")}
    asked = {decision_identity(record) for record in predictions if record.offset < read.get(record.partition, 0)}
    rows = journal.execute("select strategy, session, instrument, as_of from decisions")
    report.same("decisions asked for", Counter(asked), Counter(tuple(row) for row in rows), ("predictions", "journal"))
    unread = [r for r in predictions if r.offset >= read.get(r.partition, 0)]
    report.check(not unread, f"{len(unread)} predictions were not read by the router")


def decision_identity(record: Record) -> tuple[Any, ...]:
    """What makes a decision: the model version is not part of it."""
    p = decode_prediction(record.value or b"")
    return ("explore" if p.role is Role.CHALLENGER else "direction", p.session, p.instrument, p.as_of)


def audit_venue(report: Report, journal: Journal, venue: Venue) -> None:
    """The venue has each order at most once, the same fills, and the same position."""
    there = Counter(row["orderLinkId"] for row in venue.orders())
    kept = dict(journal.execute("select client_order_id, state from orders"))
    for link, count in there.items():
        report.check(count == 1, f"order {link} is at the venue {count} times")
        report.check(link in kept, f"order {link} is at the venue and not in the journal")
        report.check(kept.get(link) != "NOT_ACCEPTED", f"order {link} is at the venue and NOT_ACCEPTED in the journal")
    accepted = {"ACKNOWLEDGED", "OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "CANCEL_PENDING"}
    for link, state in kept.items():
        report.check(state not in accepted or link in there, f"order {link} is {state} and not at the venue")
    report.compared["orders at the venue"] = sum(there.values())
    said = venue.fills()
    ours = list(journal.execute("select execution_id, client_order_id, side, price, quantity from executions"))
    report.same(
        "fills at the venue",
        Counter((r["execId"], r["orderLinkId"], r["side"].upper(), *exact(r["execPrice"], r["execQty"])) for r in said),
        Counter((row[0], row[1], row[2].upper(), *exact(row[3], row[4])) for row in ours),
        ("venue", "journal"),
    )
    held = sum((Decimal(row[4]) * (1 if row[2].upper() == "BUY" else -1) for row in ours), Decimal(0))
    report.check(venue.position() == held, f"position: {venue.position()} at the venue, {held} in the journal")


def exact(*numbers: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(number).normalize() for number in numbers)


class Venue:
    """The account as the venue tells it, over REST, with a client of its own."""

    def __init__(self, address: str, key_file: Path) -> None:
        self._address = address
        self._key = json.loads(key_file.read_text())

    def orders(self) -> list[dict[str, Any]]:
        rows = {row["orderId"]: row for row in self._pages("/v5/order/history", "category=linear&limit=50")}
        rows |= {row["orderId"]: row for row in self._pages("/v5/order/realtime", "category=linear&limit=50")}
        return list(rows.values())

    def fills(self) -> list[dict[str, Any]]:
        return [
            row for row in self._pages("/v5/execution/list", "category=linear&limit=100") if row["execType"] == "Trade"
        ]

    def position(self) -> Decimal:
        rows = self._pages("/v5/position/list", "category=linear&symbol=BTCUSDT")
        signs = {"Buy": 1, "Sell": -1, "": 0, "None": 0}
        return sum((Decimal(row["size"] or "0") * signs[row["side"]] for row in rows), Decimal(0))

    def _pages(self, path: str, query: str) -> Iterator[dict[str, Any]]:
        cursor = ""
        while True:
            full = query + (f"&cursor={cursor}" if cursor else "")
            stamp = str(time.time_ns() // 1_000_000)
            payload = f"{stamp}{self._key['key']}{RECEIVE_WINDOW_MS}{full}"
            headers = {
                "X-BAPI-API-KEY": self._key["key"],
                "X-BAPI-TIMESTAMP": stamp,
                "X-BAPI-RECV-WINDOW": str(RECEIVE_WINDOW_MS),
                "X-BAPI-SIGN": hmac.new(self._key["secret"].encode(), payload.encode(), hashlib.sha256).hexdigest(),
            }
            answer = httpx.get(f"{self._address}{path}?{full}", headers=headers, timeout=10).json()
            if answer["retCode"] == 10006:
                time.sleep(0.2)
                continue
            if answer["retCode"] != 0:
                raise RuntimeError(f"{path}: {answer['retCode']} {answer['retMsg']}")
            yield from answer["result"]["list"]
            cursor = answer["result"].get("nextPageCursor") or ""
            if not cursor:
                return


def marked_topics() -> list[dict[str, Any]]:
    return [row for row in yaml.safe_load(TOPICS_FILE.read_text())["topics"] if row["archive"]]


def column(journal: Journal, query: str) -> Counter[str]:
    return Counter(row[0] for row in journal.execute(query))


def differing(one: dict[str, str], other: dict[str, str]) -> str:
    pairs = [
        f"{key}: {one.get(key)} / {other.get(key)}"
        for key in one.keys() | other.keys()
        if one.get(key) != other.get(key)
    ]
    return f"{len(pairs)} orders otherwise than the journal: {', '.join(pairs[:3])}"
