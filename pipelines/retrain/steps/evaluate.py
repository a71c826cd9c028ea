"""Evaluate: build the case of a candidate from what training left, and compute its figures."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from libs.bundle.manifest import Manifest
from libs.trading.fees import Costs
from libs.trading.market import Provenance
from libs.trading.scoring import LabelKind, Scope
from pipelines.retrain.gates.assess import Assessment, Draws, assess
from pipelines.retrain.gates.case import Case, Latency, LiveChampion, NoChampion, Scored, Split, Window
from pipelines.retrain.gates.policy import Policy


@dataclass(frozen=True, slots=True, eq=False)
class DatasetMeta:
    """What the manifest does not say of the data and the fit. None means "not known", and its line refuses.

    `gaps` certified in the feed; `splits` every nested split as fitted, the outer one included; `trials` effectively
    independent configurations tried, earlier candidates on the same window included; `configurations` float64
    (periods, trials) of their out-of-fold profit.
    """

    costs: Costs
    needed_scope: Scope
    gaps: int | None = None
    splits: Sequence[Split] | None = None
    trials: int | None = None
    configurations: NDArray[np.float64] | None = None
    champion: NoChampion | LiveChampion | None = None
    shadow_passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """What only the finished bundle's graph can tell."""

    served_difference: float | None
    latency: Latency | None


def build_case(manifest: Manifest, oof: Scored, hold_out: Scored, meta: DatasetMeta, measured: Measured) -> Case:
    """The candidate as the gate sees it; what the bundle says of itself comes from its manifest alone."""
    window = manifest.evaluation
    return Case(
        provenance=Provenance(manifest.dataset.provenance.value),
        needed_scope=meta.needed_scope,
        gaps=meta.gaps,
        label_kind=LabelKind(manifest.label.kind.value),
        horizon_ns=manifest.label.horizon_ns,
        emission_interval_ns=manifest.view.emission_interval_ns,
        threshold=manifest.decision_threshold,
        costs=meta.costs,
        window=None if window is None else Window(window.from_ns, window.to_ns),
        earlier=oof,
        hold_out=hold_out,
        splits=None if meta.splits is None else tuple(meta.splits),
        served_difference=measured.served_difference,
        trials=meta.trials,
        configurations=meta.configurations,
        latency=measured.latency,
        champion=meta.champion,
        shadow_passed=meta.shadow_passed,
    )


def evaluate(case: Case, policy: Policy) -> Assessment:
    """All figures; the numbers drawn follow from the policy's seed, so a second run gives the same."""
    return assess(case, policy, seeded(policy.sampling.seed))


def seeded(seed: int) -> Draws:
    """A fresh generator per name, so that one line's draws do not depend on another's."""
    return lambda name: np.random.default_rng([seed, zlib.crc32(name.encode())])
