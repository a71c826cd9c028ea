"""The first levels of a ladder as a reader sees them: a snapshot, then what changed."""

from __future__ import annotations

import sys

from libs.trading.simulation.ladder import Ladder

Levels = list[tuple[int, int]]
_NOWHERE = sys.maxsize


class PublishedDepth:
    """The top `cap` levels of one ladder, and the changes that keep a reader equal to them.

    A level that leaves the top is a change to size 0; one that moves up into it is a change to its size, so that a
    reader who applies every change holds exactly `shown`, never more than `cap` levels.
    """

    def __init__(self, ladder: Ladder, cap: int) -> None:
        self.shown: dict[int, int] = {}
        self._ladder = ladder
        self._cap = cap
        self._edge = -_NOWHERE

    def best(self) -> tuple[int, int] | None:
        """The best level shown, or None."""
        for price, lots in self._ladder.levels(1):
            return price, self.shown.get(price, lots)
        return None

    def snapshot(self) -> Levels:
        """What the last changes left the reader with, best first."""
        sign = self._ladder.sign
        return sorted(self.shown.items(), key=lambda level: sign * level[0])

    def changes(self) -> Levels:
        """(price, lots) of each level that differs from what is shown, best first; 0 removes. Then they are shown."""
        ladder, shown, cap = self._ladder, self.shown, self._cap
        keys, sizes, sign = ladder.keys, ladder.sizes, ladder.sign
        edge = keys[cap - 1] if len(keys) >= cap else _NOWHERE
        changed: Levels = []
        for price in ladder.touched:
            lots = sizes.get(price, 0)
            if lots and sign * price <= edge:
                if shown.get(price) != lots:
                    shown[price] = lots
                    changed.append((price, lots))
            elif shown.pop(price, None) is not None:
                changed.append((price, 0))
        ladder.touched.clear()
        if edge < self._edge:
            self._hide_beyond(edge, changed)
        elif edge > self._edge:
            self._reveal_up_to(changed)
        self._edge = edge
        changed.sort(key=lambda level: sign * level[0])
        return changed

    def _hide_beyond(self, edge: int, changed: Levels) -> None:
        sign = self._ladder.sign
        if self._edge == _NOWHERE:
            beyond = [price for price in self.shown if sign * price > edge]
        else:
            keys = self._ladder.keys
            beyond = []
            for index in range(self._cap, len(keys)):
                if keys[index] > self._edge:
                    break
                beyond.append(sign * keys[index])
        for price in beyond:
            if self.shown.pop(price, None) is not None:
                changed.append((price, 0))

    def _reveal_up_to(self, changed: Levels) -> None:
        ladder, shown = self._ladder, self.shown
        for index in range(min(self._cap, len(ladder.keys)) - 1, -1, -1):
            if ladder.keys[index] <= self._edge:
                break
            price = ladder.sign * ladder.keys[index]
            if price not in shown:
                shown[price] = ladder.sizes[price]
                changed.append((price, shown[price]))
