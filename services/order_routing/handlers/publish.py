"""Brings the outbox to its topic: in order, without holes, and without doubles that a reader could see."""

from __future__ import annotations

from services.order_routing.handlers.account import Account
from services.order_routing.ports import Publisher

BATCH = 500


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
