"""The secrets of a release: made where absent, kept where there, refused where a part does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from infra.cluster.secrets import (
    Data,
    Keeper,
    Refused,
    Release,
    SecretsProblem,
    explain,
    private_key,
    public_half,
)
from libs.bundle.keys import read_private, read_public

ALL = ("r-training-key", "r-gate-key", "r-public-keys", "r-venue-key", "r-postgres")


class MemoryVault:
    """Secrets in memory. A `rival` makes those it names, in its own way, just before they are made here."""

    def __init__(self, there: Mapping[str, Data] | None = None, rival: Mapping[str, Data] | None = None) -> None:
        self.there: dict[str, Data] = dict(there or {})
        self.rival = dict(rival or {})
        self.labels: dict[str, Mapping[str, str]] = {}

    def read(self, name: str) -> Data | None:
        return self.there.get(name)

    def create(self, name: str, labels: Mapping[str, str], data: Data) -> bool:
        if name in self.rival:
            self.there[name] = self.rival.pop(name)
        if name in self.there:
            return False
        self.there[name], self.labels[name] = data, labels
        return True


def keep(vault: MemoryVault) -> list[str]:
    lines: list[str] = []
    Keeper(vault, Release("r", "r-postgres"), lines.append).have_all()
    return lines


def test_an_empty_namespace_gets_all_of_them_one_line_each() -> None:
    vault = MemoryVault()
    assert sorted(keep(vault)) == sorted(f"made {name}" for name in ALL)
    assert {labels["app.kubernetes.io/part-of"] for labels in vault.labels.values()} == {"trading-platform"}
    assert {labels["app.kubernetes.io/instance"] for labels in vault.labels.values()} == {"r"}


def test_the_second_time_nothing_changes() -> None:
    vault = MemoryVault()
    keep(vault)
    before = dict(vault.there)
    assert sorted(keep(vault)) == sorted(f"kept {name}" for name in ALL)
    assert vault.there == before


def test_public_keys_are_the_halves_of_the_private_ones() -> None:
    vault = MemoryVault()
    keep(vault)
    for pair in ("training", "gate"):
        half = public_half("x", f"{pair}.private.pem", vault.there[f"r-{pair}-key"])
        assert vault.there["r-public-keys"][f"{pair}.public.pem"] == half
    assert vault.there["r-public-keys"]["training.public.pem"] != vault.there["r-public-keys"]["gate.public.pem"]


def test_database_and_venue_are_told_what_programs_read() -> None:
    vault = MemoryVault()
    keep(vault)
    postgres = {file: content.decode() for file, content in vault.there["r-postgres"].items()}
    assert postgres["journal-url"] == f"postgresql+psycopg://platform:{postgres['password']}@r-postgres:5432/journal"
    assert postgres["mlflow-url"] == f"postgresql+psycopg://platform:{postgres['password']}@r-postgres:5432/mlflow"
    assert len(postgres["password"]) >= 32
    venue = json.loads(vault.there["r-venue-key"]["key.json"])
    assert set(venue) == {"key", "secret"}
    assert all(venue.values())


def test_lost_public_keys_come_back_from_the_private_ones() -> None:
    vault = MemoryVault()
    keep(vault)
    before = vault.there.pop("r-public-keys")
    assert "made r-public-keys" in keep(vault)
    assert vault.there["r-public-keys"] == before


@pytest.mark.parametrize("pair", ["training", "gate"])
def test_a_lost_private_key_is_not_replaced_in_silence(pair: str) -> None:
    vault = MemoryVault()
    keep(vault)
    del vault.there[f"r-{pair}-key"]
    with pytest.raises(SecretsProblem, match=f"r-{pair}-key is missing but r-public-keys is there"):
        keep(vault)
    assert f"r-{pair}-key" not in vault.there


def test_public_keys_of_another_pair_are_refused() -> None:
    vault = MemoryVault()
    keep(vault)
    vault.there["r-gate-key"] = private_key("gate.private.pem")
    with pytest.raises(SecretsProblem, match=r"gate\.public\.pem is not the public half"):
        keep(vault)


@pytest.mark.parametrize(
    ("name", "lost"), [("r-public-keys", "gate.public.pem"), ("r-postgres", "mlflow-url"), ("r-venue-key", "key.json")]
)
def test_a_secret_without_one_of_its_parts_is_named(name: str, lost: str) -> None:
    vault = MemoryVault()
    keep(vault)
    vault.there[name] = {file: content for file, content in vault.there[name].items() if file != lost}
    with pytest.raises(SecretsProblem, match=f"{name} is there but has no {lost}"):
        keep(vault)


def test_what_is_no_key_is_refused_without_being_shown() -> None:
    vault = MemoryVault({"r-training-key": {"training.private.pem": b"hunter2"}})
    with pytest.raises(SecretsProblem, match="r-training-key holds no Ed25519 private key") as problem:
        keep(vault)
    assert "hunter2" not in str(problem.value)


def test_raw_keys_which_the_platform_reads_are_kept() -> None:
    vault = MemoryVault()
    keep(vault)
    for file in ("training.private.pem", "gate.private.pem"):
        name = f"r-{file.partition('.')[0]}-key"
        vault.there[name] = {file: read_private(vault.there[name][file], file).private_bytes_raw()}
    public = vault.there["r-public-keys"]
    vault.there["r-public-keys"] = {file: read_public(public[file], file).public_bytes_raw() for file in public}
    assert "kept r-public-keys" in keep(vault)


def test_of_two_jobs_at_once_both_go_on_with_the_first_one_s_keys() -> None:
    first = MemoryVault()
    keep(first)
    second = MemoryVault(rival={name: first.there[name] for name in ALL})
    assert sorted(keep(second)) == sorted(f"kept {name}" for name in ALL)
    assert second.there == first.there


def test_a_half_done_job_is_finished_by_the_next_one() -> None:
    first = MemoryVault()
    keep(first)
    training = first.there["r-training-key"]
    second = MemoryVault({"r-training-key": training})
    keep(second)
    assert second.there["r-training-key"] == training
    half = public_half("x", "training.private.pem", training)
    assert second.there["r-public-keys"]["training.public.pem"] == half


def test_private_keys_are_ed25519_pem() -> None:
    assert load_pem_private_key(private_key("f")["f"], None)


def test_a_refusal_of_the_cluster_says_what_is_lacking() -> None:
    assert "needs get on the release's secrets and create" in explain(Refused(403, "forbidden: no"), "n")
    assert "is there a namespace n?" in explain(Refused(404, 'namespaces "n" not found'), "n")
    assert "500" in explain(Refused(500, "etcd"), "n")
