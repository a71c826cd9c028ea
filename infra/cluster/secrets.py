"""Makes a development release's keys and passwords where they are absent; never changes what is there.

`python -m infra.cluster.secrets --namespace N --release R --postgres-host H`, with get and create on secrets."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from kubernetes import client, config
from urllib3.exceptions import HTTPError

from libs.bundle.canonical import BundleError
from libs.bundle.keys import private_pem, public_pem, read_private, read_public

PAIRS = ("training", "gate")
VENUE_FILES = ("key.json",)
DATABASE_FILES = ("password", "journal-url", "mlflow-url")
PASSWORD_BYTES = 24
PATIENCE_S = 10.0
FORBIDDEN, MISSING, CONFLICT = 403, 404, 409
DATABASE_USER = "platform"

Data = Mapping[str, bytes]


class SecretsProblem(Exception):
    """Something that a person has to mend; the message names the secret, never its content, and says how."""


class Refused(Exception):
    """The cluster's answer to a request, with HTTP's number for it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Vault(Protocol):
    """The secrets of one namespace."""

    def read(self, name: str) -> Data | None:
        """What it holds; None when there is none. Raises `Refused`."""

    def create(self, name: str, labels: Mapping[str, str], data: Data) -> bool:
        """Make it; False when there is one already. Raises `Refused`."""


@dataclass(frozen=True, slots=True)
class Release:
    """Whose secrets they are, and where its database answers."""

    name: str
    postgres_host: str

    @property
    def labels(self) -> Mapping[str, str]:
        return {
            "app.kubernetes.io/part-of": "trading-platform",
            "app.kubernetes.io/instance": self.name,
            "app.kubernetes.io/managed-by": "infra.cluster.secrets",
        }


class Keeper:
    """Has each secret of a release, made now or found; `say` gets one line for each."""

    def __init__(self, vault: Vault, release: Release, say: Callable[[str], None]) -> None:
        self._vault, self._release, self._say = vault, release, say

    def have_all(self) -> None:
        """Raises `SecretsProblem` for a set of which a part is missing or does not fit, `Refused`."""
        self._have_keys()
        self._have("venue-key", VENUE_FILES, venue_key)
        self._have("postgres", DATABASE_FILES, lambda: postgres(self._release.postgres_host))

    def _have_keys(self) -> None:
        """Public keys are always the halves of the private ones that are in the cluster, whoever made those."""
        public = self._vault.read(self._name("public-keys"))
        halves: dict[str, bytes] = {}
        for pair in PAIRS:
            name, file = self._name(f"{pair}-key"), f"{pair}.private.pem"
            if public is not None and self._vault.read(name) is None:
                raise SecretsProblem(
                    f"{name} is missing but {self._name('public-keys')} is there: a new key would sign what nobody "
                    f"trusts. Bring {name} back, or delete {self._name('public-keys')} and run this again; models "
                    "signed with the lost key are then refused"
                )
            private = self._have(f"{pair}-key", (file,), partial(private_key, file))
            halves[f"{pair}.public.pem"] = public_half(name, file, private)
        there = self._have("public-keys", tuple(halves), lambda: halves)
        check_halves(self._name("public-keys"), there, halves)

    def _have(self, part: str, files: Sequence[str], make: Callable[[], Data]) -> Data:
        """The secret as it is in the cluster now. Of two that make it at once, both go on with the first one's."""
        name = self._name(part)
        there = self._vault.read(name)
        made = there is None and self._vault.create(name, self._release.labels, make())
        there = self._vault.read(name) if there is None else there
        if there is None:
            raise SecretsProblem(f"{name} was there and is gone again: something deletes it; run this again")
        lacking = [file for file in files if not there.get(file)]
        if lacking:
            raise SecretsProblem(
                f"{name} is there but has no {', '.join(lacking)}: add what is missing. Deleted, it is made anew when "
                "this runs again, with a new key or password that nothing else knows yet"
            )
        self._say(f"{'made' if made else 'kept'} {name}")
        return there

    def _name(self, part: str) -> str:
        return f"{self._release.name}-{part}"


def private_key(file: str) -> Data:
    return {file: private_pem(Ed25519PrivateKey.generate())}


def public_half(name: str, file: str, data: Data) -> bytes:
    try:
        key = read_private(data[file], file)
    except BundleError as error:
        raise SecretsProblem(f"{name} holds no Ed25519 private key (PEM) in {file}: put the right one there") from error
    return public_pem(key.public_key())


def check_halves(name: str, there: Data, halves: Data) -> None:
    for file, half in halves.items():
        if not is_same_key(there[file], half):
            raise SecretsProblem(
                f"{name}: {file} is not the public half of the private key that is there. Services would refuse every "
                f"model signed from now on: delete {name} and run this again to trust the present keys, or bring the "
                "former private key back"
            )


def is_same_key(there: bytes, half: bytes) -> bool:
    """However their files are laid out; what is no key is nobody's."""
    try:
        return read_public(there, "there") == read_public(half, "half")
    except BundleError:
        return False


def venue_key() -> Data:
    """The simulator's paper account; a real venue gives its own."""
    return {"key.json": json.dumps({"key": secrets.token_hex(9), "secret": secrets.token_hex(PASSWORD_BYTES)}).encode()}


def postgres(host: str) -> Data:
    """One password for the two databases of a development release, alone and inside the addresses."""
    password = secrets.token_urlsafe(PASSWORD_BYTES)
    address = f"postgresql+psycopg://{DATABASE_USER}:{password}@{host}:5432"
    texts = (password, f"{address}/journal", f"{address}/mlflow")
    return {file: text.encode() for file, text in zip(DATABASE_FILES, texts, strict=True)}


class ClusterVault:
    """The secrets of a namespace of the cluster in which this runs, or that KUBECONFIG names."""

    def __init__(self, namespace: str) -> None:
        try:
            config.load_incluster_config()
        except config.ConfigException:
            config.load_kube_config()
        self._api, self._namespace = client.CoreV1Api(), namespace

    def read(self, name: str) -> Data | None:
        try:
            found = self._api.read_namespaced_secret(name, self._namespace, _request_timeout=PATIENCE_S)
        except client.ApiException as error:
            if error.status == MISSING:
                return None
            raise refused(error) from error
        return {file: b64decode(text) for file, text in (found.data or {}).items()}

    def create(self, name: str, labels: Mapping[str, str], data: Data) -> bool:
        texts: dict[str, bytes | str] = {file: b64encode(content).decode() for file, content in data.items()}
        body = client.V1Secret(metadata=client.V1ObjectMeta(name=name, labels=dict(labels)), data=texts, type="Opaque")
        try:
            self._api.create_namespaced_secret(self._namespace, body, _request_timeout=PATIENCE_S)
        except client.ApiException as error:
            if error.status == CONFLICT:
                return False
            raise refused(error) from error
        return True


def refused(error: client.ApiException) -> Refused:
    try:
        reason = str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        reason = str(error.reason)
    return Refused(int(error.status or 0), reason)


def explain(problem: Refused, namespace: str) -> str:
    remedies = {
        FORBIDDEN: "its role needs get on the release's secrets and create on secrets",
        MISSING: f"is there a namespace {namespace}?",
    }
    remedy = remedies.get(problem.status, "this can be run again at any time")
    return f"the cluster refuses ({problem.status}): {problem}; {remedy}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.cluster.secrets", description=__doc__)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--release", required=True)
    parser.add_argument("--postgres-host", required=True)
    chosen = parser.parse_args(arguments)
    try:
        vault = ClusterVault(chosen.namespace)
        Keeper(vault, Release(chosen.release, chosen.postgres_host), lambda line: print(line, flush=True)).have_all()
    except SecretsProblem as problem:
        print(problem, file=sys.stderr)
    except Refused as problem:
        print(explain(problem, chosen.namespace), file=sys.stderr)
    except config.ConfigException as error:
        print(f"no cluster: neither inside one nor told of one by KUBECONFIG ({error})", file=sys.stderr)
    except HTTPError as error:
        print(f"the cluster does not answer: {error}", file=sys.stderr)
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
