"""Export: the calibrated vote as one graph, proven equal to the native members, in a bundle folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.bundle import manifest as bundle
from libs.bundle.folder import write_bundle
from libs.bundle.golden import GoldenRows
from libs.bundle.trust import Provenance
from libs.trading.labels import LabelSpec
from libs.trading.scoring import DIRECTION_CLASSES
from pipelines.retrain.adapters.forest import Member, softmax
from pipelines.retrain.adapters.onnx_graph import Vote, fuse
from pipelines.retrain.adapters.onnx_session import Scorer, open_graph
from pipelines.retrain.adapters.run_folder import RunError, RunFolder, read_facts, write_facts
from pipelines.retrain.adapters.tables import Columns, read_columns
from pipelines.retrain.steps.calibrate import Calibrator
from pipelines.retrain.steps.fits import load_features

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

PARITY_ROWS = 12_000
GOLDEN_REAL, GOLDEN_ODD = 32, 16
EXTREMES = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0, -0.0, 1e-45, 1e-35, -1e-35], dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The kept members with everything that the vote needs."""

    members: Mapping[str, Member]
    models: Mapping[str, bytes]
    calibrators: Mapping[str, Calibrator]
    weights: Mapping[str, float]
    threshold: float | None

    def votes(self) -> list[Vote]:
        return [
            Vote(n, self.members[n].forest(self.models[n]), self.calibrators[n].slope, self.calibrators[n].shift, w)
            for n, w in self.weights.items()
        ]


def export(run: RunFolder, members: Mapping[str, Member], spec: LabelSpec, code_version: str, seed: int) -> str:
    """Write the bundle and the facts of its parity; returns the bundle's digest."""
    trained, calibration = read_facts(run.train_facts, "train"), read_facts(run.calibration, "calibrate")
    fitted = read_fitted(run, members)
    votes = fitted.votes()
    columns, features = read_columns(run.dataset_table, "dataset"), load_features(run)
    graph = fuse(votes, features.shape[1])
    held = np.flatnonzero(columns["as_of"] >= int(trained["holdout_from_ns"]))
    judged = _parity_rows(features, held, votes, seed)
    _write_parity(run, fitted, votes, graph, judged)
    score = open_graph(graph)
    golden = _golden(score, judged, features[held])
    manifest = _manifest(run, fitted, votes, spec, trained, calibration, columns, code_version, seed)
    begun = run.bundle.with_name(f"{run.bundle.name}.begun")
    shutil.rmtree(begun, ignore_errors=True)
    digest = write_bundle(begun, manifest, graph, {n: fitted.models[n] for n in fitted.weights}, golden)
    shutil.rmtree(run.bundle, ignore_errors=True)
    begun.rename(run.bundle)
    return digest


def read_fitted(run: RunFolder, members: Mapping[str, Member]) -> Fitted:
    """The members that the vote kept. Raises RunError that names the step to run first."""
    calibration = read_facts(run.calibration, "calibrate")
    weights = {name: float(calibration["weights"][name]) for name in members if name in calibration["weights"]}
    models = {}
    for name in weights:
        try:
            models[name] = run.member(f"{name}.{members[name].ending}").read_bytes()
        except FileNotFoundError as error:
            raise RunError(f"the member {name} is missing: run the step 'train' first") from error
    calibrators = {
        name: Calibrator(float(found["slope"]), (found["shift"][0], found["shift"][1], found["shift"][2]))
        for name, found in calibration["calibrators"].items()
    }
    threshold = calibration["threshold"]
    return Fitted(members, models, calibrators, weights, None if threshold is None else float(threshold))


# --- parity --------------------------------------------------------------------------------------------------


def _parity_rows(features: Rows, held: NDArray[np.intp], votes: list[Vote], seed: int) -> Rows:
    """Real rows first (the hold-out's, then others), then rows with NaN, extremes and values exactly on thresholds."""
    rng = np.random.default_rng(seed)
    others = np.setdiff1d(np.arange(len(features)), held)
    real = features[np.concatenate((held, others))][: PARITY_ROWS // 2]
    odd = []
    share = (PARITY_ROWS - len(real)) // (len(votes) + 2) + 1
    for vote in votes:
        rows = features[rng.integers(0, len(features), share)].copy()
        branches = np.flatnonzero(vote.forest.feature >= 0)
        for _ in range(3 if branches.size else 0):
            chosen = rng.choice(branches, share)
            rows[np.arange(share), vote.forest.feature[chosen]] = vote.forest.threshold[chosen]
        odd.append(rows)
    holes = features[rng.integers(0, len(features), share)].copy()
    holes[rng.random(holes.shape) < 0.2] = np.nan
    extremes = rng.choice(EXTREMES, size=(share, features.shape[1]))
    return np.ascontiguousarray(np.concatenate((real, *odd, holes, extremes)), dtype=np.float32)


def _write_parity(run: RunFolder, fitted: Fitted, votes: list[Vote], graph: bytes, rows: Rows) -> None:
    native = {name: fitted.members[name].raw_scores(fitted.models[name], rows) for name in fitted.weights}
    exposed = open_graph(fuse(votes, rows.shape[1], member_outputs=True))(rows)[1:]
    before = max(
        float(np.max(np.abs(softmax(native[vote.name]) - own))) for vote, own in zip(votes, exposed, strict=True)
    )
    expected = ensemble(fitted, native)
    served = open_graph(graph)(rows)[0]
    flips = _decisions(expected, fitted.threshold) != _decisions(served, fitted.threshold)
    facts = {
        "rows": len(rows),
        "before": before,
        "after": float(np.max(np.abs(expected - served))),
        "flips": int(np.sum(flips)),
    }
    write_facts(run.export_facts, {"parity": facts})


def ensemble(fitted: Fitted, scores: Mapping[str, Floats]) -> Floats:
    """The calibrated vote of native raw scores (n, 3) by member, float64 (n, 3)."""
    total = np.zeros(scores[next(iter(fitted.weights))].shape)
    for name, weight in fitted.weights.items():
        total += weight * fitted.calibrators[name].probabilities(scores[name])
    return total


def _decisions(probabilities: Floats, threshold: float | None) -> NDArray[np.int64]:
    """-1, 0 or 1 as the trading rule would enter; differences within rounding of the threshold count as no flip."""
    if threshold is None:
        return np.zeros(len(probabilities), dtype=np.int64)
    score = probabilities[:, 2] - probabilities[:, 0]
    near = np.abs(np.abs(score) - threshold) < 1e-6
    entered = np.sign(score) * (np.abs(score) >= threshold)
    return np.where(near, 0, entered).astype(np.int64)


def _golden(score: Scorer, judged: Rows, real: Rows) -> GoldenRows:
    """Real rows and odd ones (the last judged are extremes and holes), with what this graph answers."""
    spaced = np.linspace(0, len(real) - 1, GOLDEN_REAL).astype(np.intp)
    odd = np.linspace(len(judged) // 2, len(judged) - 1, GOLDEN_ODD).astype(np.intp)
    inputs = np.concatenate((real[spaced], judged[odd])) + np.float32(0.0)
    return GoldenRows(inputs, score(inputs)[0])


# --- the bundle ----------------------------------------------------------------------------------------------


def _manifest(
    run: RunFolder,
    fitted: Fitted,
    votes: list[Vote],
    spec: LabelSpec,
    trained: Mapping[str, Any],
    calibration: Mapping[str, Any],
    columns: Columns,
    code_version: str,
    seed: int,
) -> bundle.Manifest:
    frozen, facts = read_facts(run.snapshot_facts, "snapshot"), read_facts(run.dataset_facts, "dataset")
    return bundle.Manifest(
        view=_view(frozen),
        label=_label(spec, float(trained["threshold"])),
        members=tuple(_member(vote, fitted.members[vote.name].ending) for vote in votes),
        calibration={
            "method": calibration["method"],
            "members": {name: calibration["calibrators"][name] for name in fitted.weights},
        },
        decision_threshold=fitted.threshold,
        dataset=bundle.Dataset(
            id=frozen["id"],
            digest=facts["digest"],
            provenance=Provenance[frozen["provenance"]],
            rows=facts["rows"],
            instruments=tuple(sorted(set(columns["instrument"].tolist()))),
            sessions=tuple(sorted(set(columns["session"].tolist()))),
            from_ns=facts["from_ns"],
            to_ns=facts["to_ns"],
        ),
        code_version=code_version,
        seed=seed,
        evaluation=bundle.EvaluationWindow(int(trained["holdout_from_ns"]), int(trained["holdout_to_ns"])),
    )


def _view(frozen: Mapping[str, Any]) -> bundle.View:
    return bundle.View(
        names=tuple(frozen["features"]),
        formula_versions=tuple(frozen["formula_versions"]),
        view_hash=frozen["view_hash"],
        spec_hash=frozen["spec_hash"],
        bar_interval_ns=frozen["bar_interval_ns"],
        emission_interval_ns=frozen["emission_interval_ns"],
    )


def _label(spec: LabelSpec, threshold: float) -> bundle.Label:
    return bundle.Label(
        kind=bundle.LabelKind(spec.kind.value),
        horizon_ns=spec.horizon_ns,
        classes=DIRECTION_CLASSES,
        params={
            "threshold": threshold,
            "threshold_sigmas": spec.threshold_sigmas,
            "threshold_floor": spec.threshold_floor,
            "latency_ns": spec.latency_ns,
            "max_wait_ns": spec.max_wait_ns,
        },
    )


def _member(vote: Vote, ending: str) -> bundle.Member:
    return bundle.Member(
        name=vote.name,
        file=f"members/{vote.name}.{ending}",
        format=vote.name,
        weight=vote.weight,
        digest=vote.forest.digest,
    )
