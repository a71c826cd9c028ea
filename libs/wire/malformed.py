"""The one error of a message that parses and still means nothing, or does not parse at all."""

from __future__ import annotations


class MalformedMessage(ValueError):
    """A message that no reader may act on; the text says which field is wrong and how."""
