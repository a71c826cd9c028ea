"""Each member learns, forgets nothing when saved, and decides in the graph as it does natively."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.retrain.adapters.forest import Features, Member, Recipe, TrainingRows, round_down, softmax
from pipelines.retrain.adapters.members import MEMBERS
from pipelines.retrain.adapters.onnx_graph import Vote, fuse
from pipelines.retrain.adapters.onnx_session import open_graph

RECIPE = Recipe(trees=20, depth=4, learning_rate=0.3, least_rows=5, row_share=0.8, column_share=0.8, l2=1.0, seed=7)
FEATURES = 6
SHIFT = (0.1, 0.0, -0.1)


def rows(seed: int = 1, n: int = 1500) -> TrainingRows:
    """Feature 0 says down or up, 1 is a small number around zero, 2 is nearly an integer, the rest is noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, FEATURES)).astype(np.float32)
    x[:, 1] *= np.float32(1e-30)
    x[:, 2] = np.round(x[:, 2])
    drift = x[:, 0] + 0.4 * np.sign(x[:, 1]) + rng.normal(size=n) * 0.5
    labels = np.digitize(drift, [-0.6, 0.6]).astype(np.int8)
    return TrainingRows(x, labels, np.ones(n))


@pytest.fixture(scope="module")
def trained() -> dict[str, bytes]:
    return {name: member.fit(rows(), RECIPE) for name, member in MEMBERS.items()}


def votes(trained: dict[str, bytes]) -> list[Vote]:
    share = 1.0 / len(trained)
    return [Vote(name, MEMBERS[name].forest(model), 0.7, SHIFT, share) for name, model in trained.items()]


def on_thresholds(features: Features, forests: list[Vote], n: int = 4000) -> Features:
    """Rows of which several values lie exactly on a threshold of some tree, or one float32 beside it."""
    rng = np.random.default_rng(3)
    found = features[rng.integers(0, len(features), n)].copy()
    for vote in forests:
        branches = np.flatnonzero(vote.forest.feature >= 0)
        chosen = rng.choice(branches, n)
        value = vote.forest.threshold[chosen]
        beside = np.where(rng.random(n) < 0.5, value, np.nextafter(value, np.float32(rng.choice([-np.inf, np.inf]))))
        found[np.arange(n), vote.forest.feature[chosen]] = beside.astype(np.float32)
    return found


def odd_rows(features: Features) -> Features:
    rng = np.random.default_rng(4)
    holes = features[:500].copy()
    holes[rng.random(holes.shape) < 0.3] = np.nan
    values = np.array([np.nan, np.inf, -np.inf, 3.4e38, -3.4e38, 0.0, -0.0, 1e-45, 1e-35, -1e-35], dtype=np.float32)
    return np.concatenate((holes, rng.choice(values, size=(500, features.shape[1])))).astype(np.float32)


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_learns_a_planted_signal(name: str, trained: dict[str, bytes]) -> None:
    fresh = rows(seed=2)
    said = softmax(MEMBERS[name].raw_scores(trained[name], fresh.features))
    score = said[:, 2] - said[:, 0]
    moved = fresh.labels != 1
    right = np.mean((score[moved] > 0) == (fresh.labels[moved] == 2))
    assert right > 0.9


@pytest.mark.parametrize("name", MEMBERS)
def test_the_same_rows_and_seed_give_the_same_trees_and_another_seed_others(
    name: str, trained: dict[str, bytes]
) -> None:
    member: Member = MEMBERS[name]
    again = member.fit(rows(), RECIPE)
    other = member.fit(rows(), Recipe(20, 4, 0.3, 5, 0.8, 0.8, 1.0, seed=8))
    assert member.forest(again).digest == member.forest(trained[name]).digest
    assert again == trained[name]
    assert member.forest(other).digest != member.forest(trained[name]).digest


@pytest.mark.parametrize("name", MEMBERS)
def test_a_model_is_plain_text(name: str, trained: dict[str, bytes]) -> None:
    text = trained[name].decode("utf-8")
    if MEMBERS[name].ending == "json":
        assert isinstance(json.loads(text), dict)
    assert "/tmp" not in text
    assert "guid" not in text


@pytest.mark.parametrize("kind", ["real", "on thresholds", "odd"])
def test_the_graph_says_what_the_members_say(kind: str, trained: dict[str, bytes]) -> None:
    features = rows(seed=5, n=3000).features
    cast = votes(trained)
    given = {"real": features, "on thresholds": on_thresholds(features, cast), "odd": odd_rows(features)}[kind]
    whole, *own = open_graph(fuse(cast, FEATURES, member_outputs=True))(given)
    expected: NDArray[np.float64] = np.zeros_like(whole)
    for vote, said in zip(cast, own, strict=True):
        native = MEMBERS[vote.name].raw_scores(trained[vote.name], given)
        assert np.max(np.abs(softmax(native) - said)) <= 1e-6, vote.name
        expected += vote.weight * softmax(0.7 * native + np.array(SHIFT))
    assert np.max(np.abs(expected - whole)) <= 1e-5
    assert np.abs(whole.sum(axis=1) - 1.0).max() < 1e-5


def test_one_row_is_scored_as_in_a_batch(trained: dict[str, bytes]) -> None:
    features = rows(seed=6, n=50).features
    score = open_graph(fuse(votes(trained), FEATURES))
    batch = score(features)[0]
    alone = np.concatenate([score(features[i : i + 1])[0] for i in range(len(features))])
    assert np.array_equal(batch, alone)


def test_the_graph_has_the_promised_names_and_the_same_bytes_every_time(trained: dict[str, bytes]) -> None:
    import onnx

    graph = fuse(votes(trained), FEATURES)
    assert graph == fuse(votes(trained), FEATURES)
    model = onnx.load_from_string(graph)
    assert [i.name for i in model.graph.input] == ["features"]
    assert [o.name for o in model.graph.output] == ["probabilities"]
    assert (model.producer_name, model.producer_version, model.doc_string) == ("", "", "")


def test_thresholds_are_rounded_down_never_up() -> None:
    rng = np.random.default_rng(0)
    thresholds = rng.normal(size=10_000) * 10.0 ** rng.integers(-30, 30, 10_000)
    rounded = round_down(thresholds)
    above = np.nextafter(rounded, np.float32(np.inf))
    assert (rounded.astype(np.float64) <= thresholds).all()
    assert (above.astype(np.float64) > thresholds).all()
