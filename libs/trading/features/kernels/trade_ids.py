"""Remembers the last trade ids exactly, in bounded memory: a ring of ids beside an open-addressing table."""

from __future__ import annotations

from typing import Any

from libs.trading.jit import kernel

TRADE_IDS = 4096  # a trade id is remembered for this many trades
TRADE_TABLE = 8192  # power of two, twice the ids
NO_TRADE = -1
_MASK = TRADE_TABLE - 1


@kernel
def slot_of(trade_id: int) -> int:
    """Where an id wants to lie: the low bits of a mixed id, because venues count up."""
    mixed = trade_id ^ (trade_id >> 33)
    mixed = (mixed * 0x9E3779B1) & 0x7FFFFFFFFFFFFFF
    return (mixed >> 13) & _MASK


@kernel
def forget(table: Any, trade_id: int) -> None:
    """Delete an id and close the hole behind it, so that every remaining id is found from its own slot."""
    at = slot_of(trade_id)
    while table[at] != trade_id:
        if table[at] == NO_TRADE:
            return
        at = (at + 1) & _MASK
    hole = at
    while True:
        at = (at + 1) & _MASK
        if table[at] == NO_TRADE:
            break
        if ((at - slot_of(table[at])) & _MASK) >= ((at - hole) & _MASK):
            table[hole] = table[at]
            hole = at
    table[hole] = NO_TRADE


@kernel
def is_new(s: Any, trade_id: int) -> bool:
    """Whether this id is not among the last `TRADE_IDS` trades; it is remembered either way."""
    table = s.trade_table
    at = slot_of(trade_id)
    while table[at] != NO_TRADE:
        if table[at] == trade_id:
            return False
        at = (at + 1) & _MASK
    place = s.n_trade_ids % TRADE_IDS
    if s.n_trade_ids >= TRADE_IDS:
        forget(table, s.trade_ids[place])
        at = slot_of(trade_id)
        while table[at] != NO_TRADE:
            at = (at + 1) & _MASK
    table[at] = trade_id
    s.trade_ids[place] = trade_id
    s.n_trade_ids += 1
    return True
