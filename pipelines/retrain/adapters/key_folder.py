"""An environment's two signing keys in a folder: training's (integrity) and the gate's (evidence)."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.bundle.canonical import BundleError
from libs.bundle.keys import generate, load_private, public_pem
from pipelines.retrain.adapters.run_folder import NotYet, RunError

TRAINING, GATE = "training", "gate"


def private_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.private.pem"


def public_file(folder: Path, name: str) -> Path:
    """What a service is told to trust."""
    return folder / f"{name}.public.pem"


def make_keys(folder: Path) -> list[Path]:
    """Make the pairs that are absent, and the public half of a private key that has none; returns the public files.
    Existing keys are never replaced."""
    for name in (TRAINING, GATE):
        private, public = private_file(folder, name), public_file(folder, name)
        if not private.exists():
            generate(private, public)
        elif not public.exists():
            public.write_bytes(public_pem(load_private(private).public_key()))
    return [public_file(folder, name) for name in (TRAINING, GATE)]


def read_key(folder: Path, name: str) -> Ed25519PrivateKey:
    """One private key, "training" or "gate"; nothing is made here.

    Raises NotYet while there is none (a release's secret may follow), RunError for a file that holds no key.
    """
    file = private_file(folder, name)
    try:
        return load_private(file)
    except BundleError as error:
        kind = RunError if file.exists() else NotYet
        raise kind(
            f"the {name} key: {error}; `python -m pipelines.retrain keys --keys {folder}` makes a pair of each, a "
            "release mounts them from its secrets"
        ) from error
