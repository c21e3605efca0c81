import math

import numpy as np
import pytest

from training.scores import average_precision, macro_average_precision


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.9, 0.8, 0.1], [1, 1, 0], 1.0),
        ([0.9, 0.8, 0.1], [0, 0, 1], 1 / 3),
        ([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0], (1 + 2 / 3) / 2),
        ([0.6, 0.9, 0.7, 0.8], [1, 1, 0, 0], (1 / 1 + 2 / 4) / 2),
        ([-5.0, 3.0], [1, 0], 0.5),
        ([1.0], [1], 1.0),
    ],
)
def test_average_precision_by_hand(scores: list[float], truth: list[int], expected: float) -> None:
    assert average_precision(np.array(scores), np.array(truth, bool)) == pytest.approx(expected)


def test_without_positives_there_is_no_average_precision() -> None:
    assert math.isnan(average_precision(np.array([0.1, 0.2]), np.array([False, False])))


def test_the_macro_mean_leaves_out_what_is_unknown_and_labels_without_positives() -> None:
    scores = np.array([[0.9, 0.5, 0.1], [0.8, 0.4, 0.2], [0.7, 0.9, 0.3]])
    targets = np.array([[1, 0, -1], [-1, 0, 0], [0, 1, 0]], np.int8)
    # label 0: rows 0 and 2, perfect; label 1: perfect; label 2: no positive
    assert macro_average_precision(scores, targets) == pytest.approx(1)
    targets[0, 0], targets[1, 0] = 0, 1  # now second of three: 1/2
    assert macro_average_precision(scores, targets) == pytest.approx(0.75)


def test_nothing_known() -> None:
    assert math.isnan(macro_average_precision(np.zeros((2, 2)), np.full((2, 2), -1, np.int8)))
    assert math.isnan(macro_average_precision(np.zeros((2, 2)), np.zeros((2, 2), np.int8)))  # known, but no positive anywhere
