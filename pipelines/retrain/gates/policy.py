"""A policy: which lines are asked of a candidate, with what limits, up to which scope."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from libs.trading.scoring import Scope
from pipelines.retrain.gates.lines import NotAsked

# Every line of evidence and the limits that it needs; a policy names each of them, to ask it or to say why not.
LIMITS: Mapping[str, tuple[str, ...]] = {
    "provenance": (),
    "gap_free": (),
    "label_kind": (),
    "outer_hold_out": (),
    "served_as_judged": (),
    "threshold": (),
    "span": ("at_least_s",),
    "trades": ("at_least",),
    "direction": ("above",),
    "suspicion": ("at_most",),
    "brier_skill": ("above",),
    "calibration": ("at_most", "bins"),
    "beats_naive": ("above_quote",),
    "higher_costs": ("factor", "above_quote"),
    "members": ("above_auc", "above_skill"),
    "drawdown": ("at_most",),
    "deflated_sharpe": ("at_least",),
    "overfitting": ("at_most",),
    "over_trading": ("per_instrument_day", "per_horizon"),
    "latency": ("p99_ms", "share_of_interval"),
    "champion": ("margin_quote",),
    "shadow_replay": (),
}


class PolicyError(Exception):
    """A policy file that must not be used; the message names the field."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one line, by name, and why they are what they are."""

    values: Mapping[str, float]
    because: str

    def __getitem__(self, name: str) -> float:
        return self.values[name]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How intervals are drawn. A block is at least this long, and at least `horizons_per_block` label horizons."""

    confidence: float
    draws: int
    seed: int
    block_at_least_s: float
    horizons_per_block: float


@dataclass(frozen=True, slots=True)
class Account:
    """The account of the judged run: opening balance, share of it in one position per instrument, delay of an order."""

    balance_quote: float
    invested_share: float
    latency_ms: float
    period_s: float


@dataclass(frozen=True, slots=True)
class Policy:
    """`digest` is the SHA-256 (hex) of the file."""

    name: str
    digest: str
    purpose: str
    scope_cap: Scope
    sampling: Sampling
    account: Account
    asked: Mapping[str, Limits]
    not_asked: tuple[NotAsked, ...]

    def limit(self, line: str, name: str, otherwise: float) -> float:
        """A limit that a figure of the report needs also where the line is not asked."""
        return self.asked[line][name] if line in self.asked else otherwise


Raw = Mapping[str, object]


def parse(raw: object, digest: str) -> Policy:
    """A policy from a file's content. Raises PolicyError for a field or line that is missing, unknown or no number."""
    top = _fields(raw, "policy", {"name", "purpose", "scope_cap", "sampling", "account", "lines"})
    lines = _fields(top["lines"], "lines", set(LIMITS))
    asked: dict[str, Limits] = {}
    left_out: list[NotAsked] = []
    for name, needed in LIMITS.items():
        entry = lines[name]
        if isinstance(entry, Mapping) and "not_asked" in entry:
            left_out.append(NotAsked(name, _text(_fields(entry, name, {"not_asked"})["not_asked"], name)))
            continue
        found = _fields(entry, f"lines.{name}", {*needed, "because"})
        values = {limit: _number(found[limit], f"lines.{name}.{limit}") for limit in needed}
        asked[name] = Limits(values, _text(found["because"], name))
    try:
        cap = Scope[_text(top["scope_cap"], "scope_cap")]
    except KeyError as error:
        raise PolicyError(f"scope_cap: {top['scope_cap']!r} is no scope") from error
    return Policy(
        name=_text(top["name"], "name"),
        digest=digest,
        purpose=_text(top["purpose"], "purpose"),
        scope_cap=cap,
        sampling=_sampling(top["sampling"]),
        account=_account(top["account"]),
        asked=asked,
        not_asked=tuple(left_out),
    )


def _sampling(raw: object) -> Sampling:
    names = {"confidence", "draws", "seed", "block_at_least_s", "horizons_per_block"}
    n = _numbers(raw, "sampling", names)
    if not 0.5 < n["confidence"] < 1.0 or n["draws"] < 200 or n["horizons_per_block"] < 1.0:
        raise PolicyError("sampling: confidence in (.5, 1), at least 200 draws, blocks of at least one horizon")
    return Sampling(n["confidence"], int(n["draws"]), int(n["seed"]), n["block_at_least_s"], n["horizons_per_block"])


def _account(raw: object) -> Account:
    n = _numbers(raw, "account", {"balance_quote", "invested_share", "latency_ms", "period_s"})
    if n["balance_quote"] <= 0 or not 0 < n["invested_share"] <= 1 or n["latency_ms"] < 0 or n["period_s"] <= 0:
        raise PolicyError("account: balance and period above 0, share in (0, 1], latency not negative")
    return Account(n["balance_quote"], n["invested_share"], n["latency_ms"], n["period_s"])


def _numbers(raw: object, where: str, names: set[str]) -> dict[str, float]:
    return {name: _number(value, f"{where}.{name}") for name, value in _fields(raw, where, names).items()}


def _fields(raw: object, where: str, names: set[str]) -> Raw:
    if not isinstance(raw, Mapping):
        raise PolicyError(f"{where}: not a mapping")
    if unknown := sorted(set(raw) - names):
        raise PolicyError(f"{where}: unknown {', '.join(map(str, unknown))}")
    if missing := sorted(names - set(raw)):
        raise PolicyError(f"{where}: missing {', '.join(missing)}")
    return raw


def _number(raw: object, where: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not math.isfinite(raw):
        raise PolicyError(f"{where}: {raw!r} is no number")
    return float(raw)


def _text(raw: object, where: str) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise PolicyError(f"{where}: a sentence is needed")
    return raw.strip()
