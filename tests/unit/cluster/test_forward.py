"""A forward is renewed when its pod is gone, not when one connection ends."""

from __future__ import annotations

import pytest

from tests.cluster.forward import is_broken


@pytest.mark.parametrize(
    ("line", "gone"),
    [
        ("error: lost connection to pod", True),
        ("E1 an error occurred forwarding 9092 -> 9092: failed to find sandbox 'x' in store: not found", True),
        ("Unable to listen on port 9092: Listeners failed to create", True),
        ("E1 an error occurred forwarding 9092 -> 9092: write: broken pipe", False),
        ("E1 error copying from remote stream to local connection: connection reset by peer", False),
        ("E1 error forwarding port 9092 to pod x: dial tcp4 127.0.0.1:9092: connect: connection refused", False),
        ("Handling connection for 9092", False),
    ],
)
def test_which_words_of_kubectl_mean_that_the_pod_is_gone(line: str, gone: bool) -> None:
    assert is_broken(line) is gone
