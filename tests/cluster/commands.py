"""Runs the operator's own programs (kubectl, helm, grpcurl) and keeps what they said."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

TAIL_CHARACTERS = 1500


class CommandFailed(Exception):
    """A program ended with an error or did not end in time; the message holds what it said last."""

    def __init__(self, argv: Sequence[str], said: str) -> None:
        super().__init__(f"{' '.join(argv[:6])} …: {said.strip()[-TAIL_CHARACTERS:] or 'it said nothing'}")
        self.said = said


@dataclass(frozen=True, slots=True)
class Ended:
    """A program's end: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"{self.out}\n{self.err}".strip()


def end_of(
    argv: Sequence[str], *, stdin: str | None = None, seconds: float = 60.0, env: Mapping[str, str] | None = None
) -> Ended:
    """Run to the end, whatever its exit code. Raises CommandFailed when it does not end within `seconds`."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=seconds, env=env)
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(argv, f"not within {seconds:.0f} s") from error
    return Ended(done.returncode, done.stdout, done.stderr)


def output_of(
    argv: Sequence[str], *, stdin: str | None = None, seconds: float = 60.0, env: Mapping[str, str] | None = None
) -> str:
    """What a program wrote to stdout. Raises CommandFailed when it fails."""
    ended = end_of(argv, stdin=stdin, seconds=seconds, env=env)
    if ended.code != 0:
        raise CommandFailed(argv, ended.err or ended.out)
    return ended.out
