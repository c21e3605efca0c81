import numpy as np
import torch
from tiny_bundle import PAD_ID, tiny_architecture

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.network import CxNetwork, build_encoder
from training.distil import with_teacher
from training.examples import Example, collate
from training.loop import teacher_loss
from training.recipe import Optimisation

TAXONOMY = Taxonomy.default()
L = len(TAXONOMY.label_ids)
OPTIONS = Optimisation(epochs=1)


def example(tokens: int, clauses: int) -> Example:
    spans = [(0, tokens), *((1, 2) for _ in range(clauses))]
    return Example(EncodedWindow([0, *range(5, 3 + tokens), 2], spans, list(range(clauses))), np.zeros((1 + clauses, L), np.int8), 0, 1.0)


def test_the_teacher_s_logits_stand_beside_the_targets_whatever_the_batch() -> None:
    torch.manual_seed(0)
    teacher = CxNetwork(build_encoder(tiny_architecture()), L).eval()
    rows = [example(6, 2), example(3, 1), example(9, 3)]
    together = with_teacher(rows, teacher, PAD_ID, 512)
    for row, taught in zip(rows, together, strict=True):
        (alone,) = with_teacher([row], teacher, PAD_ID, 512)
        assert taught.teacher is not None
        assert taught.teacher.shape == row.targets.shape
        np.testing.assert_allclose(taught.teacher, alone.teacher, atol=2e-3)
    batch = collate(together, PAD_ID)
    assert torch.isnan(batch["teacher"][1, 2:]).all()  # the clauses that the second text does not have
    assert "teacher" not in collate(rows, PAD_ID)


def test_the_distance_to_the_teacher_is_nothing_for_the_teacher_and_ignores_padding() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(2, 3, L)
    teacher[1, 2] = torch.nan
    assert abs(teacher_loss(teacher.nan_to_num(7.0), teacher, TAXONOMY, OPTIONS).item()) < 1e-6
    student = torch.zeros(2, 3, L, requires_grad=True)
    loss = teacher_loss(student, teacher, TAXONOMY, OPTIONS)
    loss.backward()
    assert loss.item() > 0.05
    assert student.grad is not None
    assert (student.grad[1, 2] == 0).all()
    assert (student.grad[0, 1, : TAXONOMY.slices["sentiment"].start] != 0).all()
    weightless = OPTIONS.model_copy(update={"segment_weight": 0.0})
    assert teacher_loss(student, teacher, TAXONOMY, weightless) < loss
