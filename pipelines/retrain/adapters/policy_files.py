"""Policies from their files, each named by the digest of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import yaml

from pipelines.retrain.gates.policy import Policy, PolicyError, parse

FOLDER = Path(__file__).parents[1] / "policies"


def read_policy(name_or_file: str) -> Policy:
    """A shipped policy by its name (`demo`, `production`), or one of your own by its file (`*.yaml`).

    Raises PolicyError for a file that cannot be read, is no policy, or calls itself otherwise than its file.
    """
    path = Path(name_or_file) if name_or_file.endswith(".yaml") else FOLDER / f"{name_or_file}.yaml"
    try:
        data = path.read_bytes()
        raw = yaml.safe_load(data)
    except OSError as error:
        raise PolicyError(f"{path.name}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise PolicyError(f"{path.name}: not YAML: {error}") from error
    try:
        policy = parse(raw, hashlib.sha256(data).hexdigest())
    except PolicyError as error:
        raise PolicyError(f"{path.name}: {error}") from error
    if policy.name != path.stem:
        raise PolicyError(f"{path.name}: calls itself {policy.name!r}")
    return policy
