"""The two ladders of trust, numbered as in protos: where data come from, and what evidence is good for."""

from __future__ import annotations

from enum import IntEnum


class Provenance(IntEnum):
    """market.v1.Provenance; the same numbers as libs.trading.market.Provenance."""

    SIMULATED = 1
    RECORDED = 2
    LIVE = 3


class Scope(IntEnum):
    """models.v1.Scope; the same numbers as libs.trading.scoring.Scope. NONE: no evidence."""

    NONE = 0
    SIMULATED = 1
    PAPER = 2
    LIVE = 3


def best_scope(provenance: Provenance) -> Scope:
    """The best evidence that data of this provenance can give."""
    return Scope(provenance.value)
