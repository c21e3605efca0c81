"""The bench finds the highest load that a server bears, wherever that is."""

import pytest

from benchmarks.load import Served, highest_good_rate


def bearing(most: float, rate: float) -> Served:
    """A server that answers up to `most` requests a second in 10 ms, and more in 10 s."""
    return Served(rate, min(rate, most), 0, 0, 10, 10, 10 if rate <= most else 10_000, 0, 0)


@pytest.mark.parametrize("most", [3, 13, 20, 100, 700])
def test_it_is_found(most: float) -> None:
    found = highest_good_rate(lambda rate: bearing(most, rate), start=20, p99_ms=500, steps=9)
    assert 0.85 * most <= found.good <= most
    assert found.p99 == 10


def test_nothing_is_made_up_for_a_server_that_bears_nothing() -> None:
    found = highest_good_rate(lambda rate: bearing(0, rate), start=20, p99_ms=500, steps=4)
    assert (found.offered, found.p99) == (2.5, 10_000)
