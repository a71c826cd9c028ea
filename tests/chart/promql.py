"""Reads a PromQL expression far enough to know its metrics and labels, and to see that it is whole."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FUNCTIONS = {"absent", "changes", "histogram_quantile", "increase", "quantile_over_time", "rate", "time", "vector"}
AGGREGATIONS = {"avg", "count", "max", "min", "sum"}
WORDS = {"and", "by", "or", "on", "unless", "offset", "without", "ignoring", "bool"}
RANGED = {"changes", "increase", "quantile_over_time", "rate"}
TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"[^"\n]*")
      | (?P<range>\[(?:\d+[smhdw]|\$__rate_interval)\])
      | (?P<duration>\d+[smhdw]\b)
      | (?P<number>\d+(?:\.\d+)?)
      | (?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)
      | (?P<sign>=~|!~|!=|==|<=|>=|[-+*/%<>=(){},])
    )""",
    re.VERBOSE,
)
PAIRS = {")": "(", "}": "{"}


class Malformed(ValueError):
    """The expression is no PromQL; the message says where it ceases to be."""


@dataclass(frozen=True)
class Selector:
    """A metric with the labels that its braces name."""

    metric: str
    labels: frozenset[str]
    ranged: bool


def tokens(expression: str) -> list[tuple[str, str]]:
    """(kind, text). Raises Malformed."""
    found, at = [], 0
    expression = expression.rstrip()
    while at < len(expression):
        match = TOKEN.match(expression, at)
        if match is None or match.lastgroup is None:
            raise Malformed(f"not understood: {expression[at : at + 30]!r}")
        found.append((match.lastgroup, match.group(match.lastgroup)))
        at = match.end()
    return found


def selectors(expression: str) -> list[Selector]:
    """Every metric of the expression. Raises Malformed for brackets that do not match and for unknown functions."""
    words = tokens(expression)
    _check_brackets(words)
    found = list(_selectors(words))
    _check_ranges(words, found)
    return found


def grouped_by(expression: str) -> set[str]:
    """The labels that aggregations keep or matching looks at."""
    lists = re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expression)
    return {label.strip() for one in lists for label in one.split(",") if label.strip()}


def _check_brackets(words: list[tuple[str, str]]) -> None:
    opened: list[str] = []
    for _, text in words:
        if text in PAIRS.values():
            opened.append(text)
        elif text in PAIRS and (not opened or opened.pop() != PAIRS[text]):
            raise Malformed(f"a {text} without its {PAIRS[text]}")
    if opened:
        raise Malformed(f"{opened[-1]} is never closed")


def _selectors(words: list[tuple[str, str]]) -> Iterator[Selector]:
    at = 0
    while at < len(words):
        kind, text = words[at]
        follows = words[at + 1][1] if at + 1 < len(words) else ""
        if text in ("by", "on", "without", "ignoring"):
            at = words.index(("sign", ")"), at)
        elif kind == "name" and follows == "(":
            if text not in FUNCTIONS | AGGREGATIONS | WORDS:
                raise Malformed(f"unknown function {text}")
        elif kind == "name" and text not in WORDS | AGGREGATIONS:
            end = words.index(("sign", "}"), at) if follows == "{" else at
            inner = words[at + 2 : end]
            labels = [word for place, (_, word) in enumerate(inner) if place % 4 == 0]
            if any(sign not in ("=", "!=", "=~", "!~") for _, sign in inner[1::4]):
                raise Malformed(f"the labels of {text}")
            yield Selector(text, frozenset(labels), end + 1 < len(words) and words[end + 1][0] == "range")
            at = end
        at += 1


def _check_ranges(words: list[tuple[str, str]], found: list[Selector]) -> None:
    ranged = sum(text in RANGED for _, text in words)
    if ranged != sum(one.ranged for one in found):
        raise Malformed(f"{sorted(RANGED)} and nothing else take a range")
