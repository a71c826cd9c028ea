"""Ed25519 keys: made, kept in files, and named by their public half."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from libs.bundle.canonical import BundleError

TrustedKeys = Mapping[str, Ed25519PublicKey]  # by key id


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hex digits of the SHA-256 of the raw public key."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def private_pem(key: Ed25519PrivateKey) -> bytes:
    """PKCS8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def generate(private_file: Path, public_file: Path) -> Ed25519PrivateKey:
    """Make a pair and write both as PEM, the private one readable by its owner only. Raises FileExistsError rather than
    replace a key."""
    key = Ed25519PrivateKey.generate()
    for file in (private_file, public_file):
        file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(private_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as out:
        out.write(private_pem(key))
    public_file.write_bytes(public_pem(key.public_key()))
    return key


def read_private(data: bytes, where: object) -> Ed25519PrivateKey:
    """A private key from PEM (PKCS8) or 32 raw bytes. Raises BundleError naming `where` it is, never its content."""
    try:
        key = Ed25519PrivateKey.from_private_bytes(data) if len(data) == 32 else load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{where}: no Ed25519 private key") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{where}: no Ed25519 private key")
    return key


def read_public(data: bytes, where: object) -> Ed25519PublicKey:
    """A public key from PEM or 32 raw bytes. Raises BundleError naming `where` it is."""
    try:
        key = Ed25519PublicKey.from_public_bytes(data) if len(data) == 32 else load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"{where}: no Ed25519 public key") from error
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{where}: no Ed25519 public key")
    return key


def load_private(file: Path) -> Ed25519PrivateKey:
    """The private key in a file. Raises BundleError naming the file, never its content."""
    return read_private(_read(file), file)


def load_public(file: Path) -> Ed25519PublicKey:
    """The public key in a file. Raises BundleError naming the file."""
    return read_public(_read(file), file)


def trusted_keys(files: Iterable[Path]) -> TrustedKeys:
    """These public keys by their ids. Raises BundleError for a file that holds none."""
    return {key_id(key): key for key in map(load_public, files)}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(f"{file}: {error.strerror}") from error
