"""Admits a bundle: bytes, signatures, scope, view, graph, golden rows, and only then warms it up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from libs.bundle.acceptance import Alias, Refusal, Refused, Trust, judge
from libs.bundle.canonical import BundleError
from libs.bundle.folder import Bundle, read_bundle
from libs.bundle.keys import trusted_keys
from libs.bundle.trust import Scope as BundleScope
from libs.bundle.verdict import SignedVerdict
from libs.runtime.settings import SettingsProblem
from libs.trading.features.spec import FeatureSpec, FeatureView, ViewMismatch
from libs.trading.market import Provenance
from libs.trading.scoring import LabelKind, Role, Scope
from services.model_serving.adapters.graph import Graph, GraphProblem
from services.model_serving.domain import ModelFacts, Signed
from services.model_serving.ports import Admitted, NotAdmitted

WARM_UPS = 20


def trust_of(
    integrity_keys: Iterable[str], gate_keys: Iterable[str], required_scope: str, policies: tuple[str, ...]
) -> Trust:
    """From files of public keys and names as in settings. Raises SettingsProblem naming a file that holds no key."""
    try:
        integrity, evidence = trusted_keys(map(Path, integrity_keys)), trusted_keys(map(Path, gate_keys))
    except BundleError as error:
        raise SettingsProblem(f"settings of model_serving: INTEGRITY_KEYS or GATE_KEYS: {error}") from error
    return Trust(integrity, evidence, BundleScope[required_scope], policies or None)


class BundleAdmission:
    """Checks against one trust and one feature spec, both fixed for the life of the process."""

    def __init__(self, trust: Trust, spec: FeatureSpec) -> None:
        self._trust = trust
        self._spec = spec

    def admit(self, folder: Path, version: int, role: Role) -> Admitted | NotAdmitted:
        try:
            bundle = read_bundle(folder)
        except BundleError as error:
            return NotAdmitted(Refusal.BROKEN_BUNDLE, str(error), "")
        view, positions, problem = self._project(bundle)
        alias: Alias = "champion" if role is Role.CHAMPION else "challenger"
        verdict = judge(bundle, alias=alias, trust=self._trust, view_problem=problem)
        if isinstance(verdict, Refused):
            return NotAdmitted(verdict.code, verdict.detail, bundle.digest)
        try:
            graph = Graph(bundle.onnx, len(view.features), len(bundle.manifest.label.classes))
            different = bundle.golden.check(graph.score(bundle.golden.inputs))
        except GraphProblem as error:
            return NotAdmitted(Refusal.GRAPH_NOT_RUNNABLE, str(error), bundle.digest)
        if different is not None:
            return NotAdmitted(Refusal.GOLDEN_ROWS_DIFFER, different, bundle.digest)
        for _ in range(WARM_UPS):
            graph.score(bundle.golden.inputs[:1])
        facts = facts_of(bundle, view, version, Scope(int(verdict.evidence)))
        integrity, evidence = _carried(bundle.integrity), _carried(bundle.evidence)
        assert integrity is not None  # judge refuses a bundle without it
        return Admitted(facts, graph, positions, integrity, evidence)

    def _project(self, bundle: Bundle) -> tuple[FeatureView, NDArray[np.intp], str | None]:
        stated = bundle.manifest.view
        features = tuple(zip(stated.names, stated.formula_versions, strict=True))
        view = FeatureView(features, stated.bar_interval_ns, stated.emission_interval_ns)
        nowhere = np.empty(0, dtype=np.intp)
        if view.hash != stated.view_hash:
            return view, nowhere, f"the manifest says view {stated.view_hash}, its features are view {view.hash}"
        try:
            return view, self._spec.project(view), None
        except ViewMismatch as error:
            return view, nowhere, str(error)


def facts_of(bundle: Bundle, view: FeatureView, version: int, evidence: Scope) -> ModelFacts:
    manifest = bundle.manifest
    return ModelFacts(
        name=manifest.model_name,
        version=version,
        digest=bundle.digest,
        view=view,
        label_kind=LabelKind(int(manifest.label.kind)),
        horizon=manifest.label.horizon_ns,
        classes=manifest.label.classes,
        decision_threshold=manifest.decision_threshold,
        provenance=Provenance(int(manifest.dataset.provenance)),
        evidence=evidence,
    )


def _carried(signed: SignedVerdict | None) -> Signed | None:
    return None if signed is None else Signed(signed.payload, signed.signature, signed.key_id)
