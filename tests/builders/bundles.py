"""Small valid bundles: built from a linear rule, signed, and registered in MLflow by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from libs.bundle.digest import array_digest
from libs.bundle.folder import attach_report, attach_verdicts, files_digest, write_bundle
from libs.bundle.golden import GoldenRows
from libs.bundle.keys import TrustedKeys, key_id
from libs.bundle.manifest import Dataset, Label, LabelKind, Manifest, Member, View
from libs.bundle.trust import Provenance, Scope, best_scope
from libs.bundle.verdict import EvidenceVerdict, IntegrityVerdict, Line, sign
from libs.trading.features.catalogue import full_spec
from libs.trading.features.spec import FeatureSpec

CLASSES = ("down", "flat", "up")
NAMES = ("log_return_1", "imbalance_1", "ofi_1s")
BAR_INTERVAL, EMISSION_INTERVAL = 1_000_000_000, 250_000_000


@dataclass(frozen=True)
class TestKeys:
    """A key of training and a key of the gate."""

    __test__ = False
    training: Ed25519PrivateKey
    gate: Ed25519PrivateKey

    @property
    def integrity(self) -> TrustedKeys:
        return {key_id(self.training.public_key()): self.training.public_key()}

    @property
    def evidence(self) -> TrustedKeys:
        return {key_id(self.gate.public_key()): self.gate.public_key()}


def a_key_pair(seed: int = 1) -> TestKeys:
    return TestKeys(
        Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32),
        Ed25519PrivateKey.from_private_bytes(bytes([seed + 100]) * 32),
    )


def a_spec() -> FeatureSpec:
    return full_spec(BAR_INTERVAL, EMISSION_INTERVAL)


def a_view(names: Sequence[str] = NAMES, spec: FeatureSpec | None = None) -> View:
    """The manifest's words for a view that the spec (default: the platform's, at test intervals) serves."""
    spec = spec or a_spec()
    view = spec.view(names)
    versions = tuple(version for _, version in view.features)
    return View(view.names, versions, view.hash, spec.hash, view.bar_interval, view.emission_interval)


def weights(n_features: int, slope: float = 1.0) -> NDArray[np.float64]:
    """Columns down, flat, up: the first feature says up, flat never speaks."""
    table = np.zeros((n_features, 3))
    table[0] = (-slope, 0.0, slope)
    return table


def linear_probabilities(inputs: NDArray[np.float32], table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax of a linear rule in which NaN counts as 0 and values are clipped to +-100."""
    clean = np.clip(np.where(np.isnan(inputs), 0.0, inputs.astype(np.float64)), -100, 100)
    logits = clean @ table
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def a_linear_graph(table: NDArray[np.float64]) -> bytes:
    """The same rule as an ONNX graph: "features" float32 [N, F] -> "probabilities" float64 [N, 3]."""
    n_features, n_classes = table.shape
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["present"]),
        helper.make_node("Clip", ["present", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("MatMul", ["wide", "table"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
        numpy_helper.from_array(np.array(-100.0, np.float32), "low"),
        numpy_helper.from_array(np.array(100.0, np.float32), "high"),
        numpy_helper.from_array(table, "table"),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", n_features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, ["N", n_classes])],
        initializer=constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = ""
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def golden_inputs(n_features: int, rows: int = 16) -> NDArray[np.float32]:
    inputs = np.random.default_rng(7).normal(size=(rows, n_features)).astype(np.float32)
    inputs[0] = np.nan
    inputs[1] = np.float32(3e38)
    inputs[2] = np.float32(-3e38)
    inputs[3] = 0.0
    return inputs


def a_manifest(
    view: View | None = None,
    *,
    provenance: Provenance = Provenance.SIMULATED,
    decision_threshold: float | None = 0.2,
    member: bytes = b"{}",
    seed: int = 42,
    code_version: str = "test",
) -> Manifest:
    return Manifest(
        view=view or a_view(),
        label=Label(LabelKind.DIRECTION, 5_000_000_000, CLASSES, {"threshold": 0.0004}),
        members=(Member("linear", "members/linear.json", "table", 1.0, array_digest(np.frombuffer(member, np.uint8))),),
        calibration={"method": "none"},
        decision_threshold=decision_threshold,
        dataset=Dataset("stretch", "ef" * 32, provenance, 100, ("bybit.linear.BTCUSDT",), ("s1",), 1, 2),
        code_version=code_version,
        seed=seed,
        evaluation=None,
    )


def a_bundle(
    folder: Path,
    *,
    view: View | None = None,
    table: NDArray[np.float64] | None = None,
    graph: bytes | None = None,
    golden: GoldenRows | None = None,
    provenance: Provenance = Provenance.SIMULATED,
    decision_threshold: float | None = 0.2,
    keys: TestKeys | None = None,
    integrity: bool | None = True,
    scope: Scope | None = None,
    evidence: bool | None = True,
    seed: int = 42,
) -> str:
    """Write a whole signed bundle into an empty folder; returns its digest.

    `table`: the linear rule, features x 3. `graph`: other ONNX bytes (then give `golden` too, or they will not agree).
    `integrity`, `evidence`: passed, refused (False) or absent (None). `scope`: granted, by default its data's best.
    """
    view = view or a_view()
    table = weights(len(view.names)) if table is None else table
    if golden is None:
        inputs = golden_inputs(len(view.names))
        golden = GoldenRows(inputs, linear_probabilities(inputs, table))
    manifest = a_manifest(view, provenance=provenance, decision_threshold=decision_threshold, seed=seed)
    digest = write_bundle(folder, manifest, graph or a_linear_graph(table), {"linear": b"{}"}, golden)
    sign_bundle(
        folder, digest, provenance, keys=keys or a_key_pair(), integrity=integrity, evidence=evidence, scope=scope
    )
    return digest


def sign_bundle(
    folder: Path,
    digest: str,
    provenance: Provenance,
    *,
    keys: TestKeys,
    integrity: bool | None = True,
    evidence: bool | None = True,
    scope: Scope | None = None,
) -> None:
    """Attach a report and the verdicts that say what the arguments say."""
    report = attach_report(folder, b'{"report":"of a test"}')
    signed_integrity = signed_evidence = None
    if integrity is not None:
        line = Line("parity", integrity, "0", "1e-6", "")
        verdict = IntegrityVerdict(digest, files_digest(folder), report, provenance, integrity, (line,))
        signed_integrity = sign(verdict, keys.training)
    if evidence is not None:
        granted = (best_scope(provenance) if scope is None else scope) if evidence else Scope.NONE
        line = Line("net_pnl", evidence, "-1", "0", "")
        judged = EvidenceVerdict(digest, report, provenance, evidence, granted, "demo", "12" * 32, (line,))
        signed_evidence = sign(judged, keys.gate)
    attach_verdicts(folder, signed_integrity, signed_evidence)


def register(tracking_uri: str, folder: Path, *, name: str = "ProductionEnsemble", digest: str = "") -> int:
    """Log the folder as plain files of a run and make a version of it; returns the version."""
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    experiment = client.get_experiment_by_name("bundles")
    experiment_id = experiment.experiment_id if experiment else client.create_experiment("bundles")
    run = client.create_run(experiment_id)
    client.log_artifacts(run.info.run_id, str(folder), "bundle")
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"bundle_digest": digest} if digest else None
    version = client.create_model_version(name, f"runs:/{run.info.run_id}/bundle", run.info.run_id, tags=tags)
    return int(version.version)


def set_alias(tracking_uri: str, alias: str, version: int | None, *, name: str = "ProductionEnsemble") -> None:
    """Move an alias as a person would; None removes it."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)
    if version is None:
        client.delete_registered_model_alias(name, alias)
    else:
        client.set_registered_model_alias(name, alias, str(version))
