"""Brings the outbox to its topic: in order, without holes, and without doubles that a reader could see."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.order_routing.handlers.account import Account
from services.order_routing.ports import Publisher, TopicUnavailable

BATCH = 500
LOOK_S = 0.02
ORDER_FIRST_S = 0.004  # what was just committed may have an order that is leaving: telling of it can wait
RETRY_S = 1.0


class Outbox:
    """One thread owns it. What is on the topic is asked at the start and after every refusal, never assumed.

    What has no answer yet is waited for, neither asked for nor sent again: it may still land.
    """

    def __init__(self, account: Account, publisher: Publisher) -> None:
        self._account = account
        self._publisher = publisher
        self._after: int | None = None

    def publish(self) -> int:
        """Send what waits. Returns how many events were acknowledged.

        Raises TopicUnavailable, and LeaseLost when another holds the account.
        """
        account = self._account
        name = account.policy.account
        if self._after is None:
            on_topic = self._publisher.last_sequence(name)
            self._after = max(on_topic or 0, account.journal.published(name))
        account.fence(account.clock())
        if account.sequence <= self._after:
            return 0
        events = account.journal.events(name, self._after, BATCH)
        if not events:
            return 0
        done = self._publisher.publish(name, events)
        if done > self._after:
            account.journal.mark_published(account.lease, done)
        acknowledged = max(0, done - self._after)
        # After a refusal the broker may have taken what came behind it, or before it: look before sending again.
        self._after = done if done == events[-1][0] else None
        return acknowledged


def keep_publishing(
    over: threading.Event, account: Account, publisher: Publisher, note: Callable[[str, str], None]
) -> None:
    """Publish what is committed until the event is set; a topic that is not there is waited for, and told once."""
    outbox, waits = Outbox(account, publisher), False
    while not over.is_set():
        try:
            idle, waits = not outbox.publish(), False
        except TopicUnavailable as problem:
            if not waits:
                note("the outbox waits for its topic", str(problem))
            waits = True
            over.wait(RETRY_S)
            continue
        if idle:
            with account.changed:
                changed = account.changed.wait(LOOK_S)
            if changed:
                over.wait(ORDER_FIRST_S)
