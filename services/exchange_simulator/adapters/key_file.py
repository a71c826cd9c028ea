"""API keys of paper accounts, read from a file that only this environment has."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One paper account's key."""

    key: str
    secret: str


class KeyProblem(SystemExit):
    """The key file is missing or unreadable; the message says which and how it should look."""


def read_keys(path: Path) -> dict[str, str]:
    """Secrets by key, from `{"key": ..., "secret": ...}` or a list of such. Raises `KeyProblem`."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Key | list[Key])
    except (OSError, msgspec.MsgspecError) as error:
        raise KeyProblem(f'{path}: {error}; wanted {{"key": "...", "secret": "..."}} or a list of such') from error
    keys = [found] if isinstance(found, Key) else found
    secrets = {key.key: key.secret for key in keys if key.key and key.secret}
    if not keys or len(secrets) != len(keys):
        raise KeyProblem(f"{path}: needs at least one key, all different, none empty")
    return secrets
