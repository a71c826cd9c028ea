"""Watchers see what they asked for; one that is too slow is let go, and nobody waits for it."""

from __future__ import annotations

import pytest

from services.data_ingestion.handlers.watch import MAX_BEHIND, TooSlow, Watchers


def test_a_watcher_sees_its_instruments_and_one_without_names_sees_all() -> None:
    watchers = Watchers()
    with watchers.join(frozenset({"a"})) as one, watchers.join(frozenset()) as everything:
        watchers.show("a", b"1")
        watchers.show("b", b"2")
        assert [one.take(0), one.take(0.001)] == [b"1", None]
        assert [everything.take(0), everything.take(0)] == [b"1", b"2"]


def test_who_has_left_is_shown_nothing() -> None:
    watchers = Watchers()
    with watchers.join(frozenset()) as gone:
        pass
    watchers.show("a", b"1")
    assert gone.take(0.001) is None


def test_a_slow_watcher_is_let_go_and_holds_nobody_up() -> None:
    watchers = Watchers()
    with watchers.join(frozenset()) as slow:
        for _ in range(MAX_BEHIND + 1):
            watchers.show("a", b"1")
        with pytest.raises(TooSlow):
            slow.take(0)
