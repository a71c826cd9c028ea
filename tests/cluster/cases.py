"""The cases in the order in which they run: one installation serves them all."""

from __future__ import annotations

from collections.abc import Callable

from tests.cluster.case_argo import argo
from tests.cluster.case_bad_input import bad_input
from tests.cluster.case_calls import grpcurl, helm_test
from tests.cluster.case_faults import kill, scale
from tests.cluster.case_install import install
from tests.cluster.case_promotion import promotion
from tests.cluster.case_upgrade import upgrade
from tests.cluster.platform import Platform

INSTALL = "install"
Case = Callable[[Platform], list[str]]

CASES: dict[str, Case] = {
    INSTALL: install,
    "helm-test": helm_test,
    "grpcurl": grpcurl,
    "argo": argo,
    "promotion": promotion,  # before the faults: what is learnt from has no gap yet
    "kill": kill,
    "scale": scale,
    "upgrade": upgrade,
    "bad-input": bad_input,
}
NEEDS_ARGO = ("argo",)
BESIDE = "bad-input"  # has a release of its own and mostly waits: it runs while the others do
