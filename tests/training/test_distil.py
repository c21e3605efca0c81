import numpy as np
import torch
from tiny_bundle import PAD_ID, tiny_architecture
from torch import Tensor

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import EncodedWindow
from nlp_service.model.network import CxNetwork, build_encoder
from training.examples import Example, collate
from training.losses import Objective, state_loss, teacher_loss
from training.recipe import Optimisation
from training.run import keep_layers

TAXONOMY = Taxonomy.default()
L = len(TAXONOMY.label_ids)
OPTIONS = Optimisation(epochs=1, distillation=1.0, state_distillation=1.0)


def example(tokens: int, clauses: int) -> Example:
    spans = [(0, tokens), *((1, 2) for _ in range(clauses))]
    return Example(EncodedWindow([0, *range(5, 3 + tokens), 2], spans, list(range(clauses))), np.zeros((1 + clauses, L), np.int8), 0, 1.0)


def network(layers: int | None = None) -> CxNetwork:
    torch.manual_seed(0)
    encoder = build_encoder(tiny_architecture())
    return CxNetwork(keep_layers(encoder, layers) if layers else encoder, L)


def objective(student: CxNetwork, options: Optimisation = OPTIONS) -> Objective:
    return Objective(student, TAXONOMY, options, torch.ones(2, L), network().eval())


def test_a_student_that_is_its_teacher_has_nothing_to_learn() -> None:
    batch = collate([example(6, 2), example(3, 1), example(9, 3)], PAD_ID)
    assert abs(objective(network())(batch).item()) < 1e-6
    assert objective(network(1))(batch).item() > 1e-5


def test_the_teacher_is_not_trained_and_the_student_is() -> None:
    whole = objective(network(1))
    whole(collate([example(6, 2), example(9, 3)], PAD_ID)).backward()
    assert whole.teacher is not None
    assert all(weight.grad is None for weight in whole.teacher.parameters())
    assert all(weight.grad is not None for weight in whole.network.encoder.encoder.layer.parameters())


def test_losses_are_in_full_precision_where_the_networks_are_not() -> None:
    batch = collate([example(6, 2), example(9, 3)], PAD_ID)
    whole = objective(network(1))
    with torch.autocast("cpu", torch.bfloat16):
        half = whole(batch)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole(batch), rtol=0.2, atol=1e-4)


def test_the_labels_count_as_much_as_the_recipe_says() -> None:
    batch = collate([example(6, 2)], PAD_ID)
    student = network()  # which its teacher finds nothing wrong with: what is left is the distance to the labels
    labels = objective(student, OPTIONS.model_copy(update={"distillation": 0.0}))(batch).item()
    assert labels > 0.1
    torch.testing.assert_close(objective(student, OPTIONS.model_copy(update={"distillation": 0.6}))(batch).item(), 0.4 * labels)


def test_the_distance_to_the_teacher_is_nothing_for_the_teacher_and_ignores_padding() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(2, 3, L)
    there = torch.tensor([[True, True, True], [True, True, False]])
    assert abs(teacher_loss(teacher, teacher, there, TAXONOMY, OPTIONS).item()) < 1e-6
    student = torch.zeros(2, 3, L, requires_grad=True)
    loss = teacher_loss(student, teacher, there, TAXONOMY, OPTIONS)
    loss.backward()
    assert loss.item() > 0.05
    assert student.grad is not None
    assert (student.grad[1, 2] == 0).all()
    assert (student.grad[0, 1, : TAXONOMY.slices["sentiment"].start] != 0).all()
    weightless = OPTIONS.model_copy(update={"segment_weight": 0.0})
    assert teacher_loss(student, teacher, there, TAXONOMY, weightless) < loss


def test_each_layer_is_compared_with_the_one_as_deep_and_padding_is_not() -> None:
    torch.manual_seed(0)
    teacher = [torch.randn(2, 4, 3) * scale for scale in (1, 1, 9, 1, 50)]  # the embeddings and four layers
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])

    def loss(*states: Tensor) -> float:
        return state_loss([torch.zeros(2, 4, 3), *states], teacher, mask).item()

    assert loss(teacher[2], teacher[4]) == 0
    changed = teacher[4].clone()
    changed[1, 2:] += 7
    assert loss(teacher[2], changed) == 0
    zeros = torch.zeros(2, 4, 3)
    torch.testing.assert_close(loss(zeros, teacher[4]), 0.5)  # whatever the size of the states of that layer
    torch.testing.assert_close(loss(zeros, zeros), 1.0)
