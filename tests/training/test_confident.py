import numpy as np
import pytest

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import EncodedWindow
from training.confident import without_doubtful
from training.examples import UNKNOWN, Example

TAXONOMY = Taxonomy.default()
L = len(TAXONOMY.label_ids)
JOY = TAXONOMY.index["joy"]


def example(joy: int) -> Example:
    targets = np.zeros((2, L), np.int8)
    targets[:, JOY] = joy
    return Example(EncodedWindow([0, 5, 2], [(0, 3), (1, 2)], [0]), targets, 0, 1.0)


def test_labels_that_the_network_contradicts_confidently_become_unknown() -> None:
    examples = [*(example(1) for _ in range(25)), *(example(0) for _ in range(25))]
    p = np.full((50, L), 0.1)
    p[:24, JOY] = 0.8
    p[24, JOY] = 0.05  # said to be joy, and the network is as sure that it is not as it is of the others
    p[49, JOY] = 0.9  # said not to be joy
    kept, doubtful = without_doubtful(examples, p, TAXONOMY)
    assert doubtful == 2
    assert [i for i, e in enumerate(kept) if (e.targets[:, JOY] == UNKNOWN).any()] == [24, 49]
    assert (kept[49].targets[:, JOY] == UNKNOWN).all()  # its clauses too
    assert (np.delete(kept[49].targets, JOY, 1) == 0).all()  # and nothing else
    assert examples[49].targets[0, JOY] == 0


@pytest.mark.parametrize("positives", [0, 5])
def test_a_label_with_few_positives_tells_no_threshold(positives: int) -> None:
    examples = [*(example(1) for _ in range(positives)), *(example(0) for _ in range(40))]
    p = np.full((len(examples), L), 0.99)
    assert without_doubtful(examples, p, TAXONOMY)[1] == 0
