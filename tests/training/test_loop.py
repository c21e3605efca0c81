import dataclasses
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_bundle import PAD_ID, tiny_architecture, tiny_tokenizer
from torch import Tensor

from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import Encoder
from nlp_service.model.network import CxNetwork, build_encoder
from nlp_service.preparation import Preparation
from training import loop
from training.batches import epoch_batches, rows_of_epoch
from training.checkpoint import Progress
from training.examples import UNKNOWN, Example, examples
from training.loop import BEST, _schedule, train
from training.losses import batch_loss
from training.recipe import Optimisation, Recipe
from training.records import Record

TAXONOMY = Taxonomy.default()
KINDS = {
    "el pedido llegó tarde": {"frustration", "delivery", "negative"},
    "el agente fue muy amable": {"satisfaction", "staff", "positive"},
    "la web falla siempre": {"anger", "digital_experience", "negative"},
    "la factura": {"billing", "neutral"},
}
FILLER = "the order room hotel clean dirty thanks refund came never".split()


def records(count: int, seed: int) -> list[Record]:
    """Invented texts of which each carries the labels of its first words, between words that mean nothing."""
    rng = random.Random(seed)
    out = []
    for i in range(count):
        words, labels = rng.choice(list(KINDS.items()))
        text = " ".join([*rng.choices(FILLER, k=rng.randint(0, 6)), words, *rng.choices(FILLER, k=rng.randint(0, 6))])
        out.append(Record(str(i), text, "es", "s", "train", frozenset(labels), frozenset(TAXONOMY.label_ids)))
    return out


def encode(rows: list[Record]) -> list[Example]:
    return list(examples(rows, Preparation(Encoder(tiny_tokenizer(), 64)), TAXONOMY, 0, 1.0))


ROWS, HELD_BACK = encode(records(72, 1)), encode(records(24, 2))


def recipe(*sources: dict[str, Any], **optimisation: Any) -> Recipe:
    fixed = {"epochs": 3, "precision": "no", "tokens_per_batch": 200, "learning_rate": 3e-3, "head_learning_rate": 3e-2, "warmup": 0.1}
    return Recipe.model_validate(
        {
            "name": "t",
            "seed": 4,
            "sources": list(sources) or [{"name": "s", "kind": "records", "paths": ["x"]}],
            "optimisation": {**fixed, **optimisation},
        }
    )


def network() -> CxNetwork:
    torch.manual_seed(1)
    return CxNetwork(build_encoder(tiny_architecture()), len(TAXONOMY.label_ids))


def run_training(options: Recipe, run: Path, model: CxNetwork | None = None, rows: list[Example] = ROWS) -> tuple[CxNetwork, Progress]:
    run.mkdir(exist_ok=True)
    model = model or network()
    return model, train(options, model, PAD_ID, [rows], HELD_BACK, TAXONOMY, run)


def weights(model: CxNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the loop catches it."""


def killed_after(passes: int) -> CxNetwork:
    """A network that dies in its n-th forward pass."""
    model = network()
    count = iter(range(passes))

    def die(*_: Any) -> None:
        if next(count, None) is None:
            raise Killed

    model.heads.register_forward_pre_hook(die)
    return model


def test_a_network_learns_what_can_be_learnt(tmp_path: Path) -> None:
    model, progress = run_training(recipe(epochs=6), tmp_path)
    first, last = progress.history[0], progress.history[-1]
    assert last["loss"] < 0.5 * first["loss"]
    assert last["score"] > first["score"]
    assert progress.best_score > 0.8
    assert progress.best_score == max(entry["score"] for entry in progress.history)
    assert (tmp_path / BEST).exists()
    assert not (tmp_path / "checkpoint.old").exists()
    assert not (tmp_path / "checkpoint.new").exists()
    assert all(np.isfinite(list(entry.values())).all() for entry in progress.history)
    assert not any(tensor.isnan().any() for tensor in weights(model).values())


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    one, _ = run_training(recipe(epochs=1), tmp_path / "a")
    other, _ = run_training(recipe(epochs=1), tmp_path / "b")
    assert same(weights(one), weights(other))


def test_frozen_word_embeddings_stay(tmp_path: Path) -> None:
    model = network()
    before = weights(model)
    after = weights(run_training(recipe(epochs=1), tmp_path, model)[0])
    name = "encoder.embeddings.word_embeddings.weight"
    assert torch.equal(before[name], after[name])
    assert not torch.equal(before["heads.value.weight"], after["heads.value.weight"])


STEPS = len(epoch_batches(recipe(), [ROWS], 0, 1))


@pytest.mark.parametrize("passes", [1, STEPS - 1, STEPS, STEPS + 1, 2 * STEPS + 3], ids="first end evaluation between second".split())
def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, passes: int) -> None:
    options = recipe(epochs=2, checkpoint_minutes=1e-9)
    whole, expected = run_training(options, tmp_path / "whole")
    with pytest.raises(Killed):
        run_training(options, tmp_path / "killed", killed_after(min(passes, 2 * STEPS)))
    resumed, progress = run_training(options, tmp_path / "killed")
    assert same(weights(resumed), weights(whole))
    assert [entry["score"] for entry in progress.history] == [entry["score"] for entry in expected.history]
    assert (progress.best_epoch, progress.best_score) == (expected.best_epoch, expected.best_score)


def test_a_run_killed_several_times_and_between_two_renames(tmp_path: Path) -> None:
    options = recipe(epochs=2, checkpoint_minutes=1e-9)
    whole, _ = run_training(options, tmp_path / "whole")
    run = tmp_path / "killed"
    with pytest.raises(Killed):
        run_training(options, run, killed_after(2))
    (run / "checkpoint").rename(run / "checkpoint.old")  # killed after the old one was moved away
    (run / "checkpoint.new").mkdir()
    (run / "checkpoint.new" / "model.safetensors").write_bytes(b"half a file")
    with pytest.raises(Killed):
        run_training(options, run, killed_after(2))
    (run / "checkpoint.old").mkdir()  # killed before the old one was removed
    (run / "checkpoint.old" / "progress.json").write_text("{}")
    assert same(weights(run_training(options, run)[0]), weights(whole))
    assert sorted(path.name for path in run.iterdir()) == [BEST, "checkpoint"]


def test_a_finished_run_stays_finished(tmp_path: Path) -> None:
    done, progress = run_training(recipe(epochs=1), tmp_path)
    before = (tmp_path / BEST).stat().st_mtime_ns
    again, repeated = run_training(recipe(epochs=1), tmp_path)
    assert repeated.history == progress.history
    assert same(weights(done), weights(again))
    assert (tmp_path / BEST).stat().st_mtime_ns == before


def test_a_run_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    options = recipe(epochs=4, patience=1, learning_rate=1e-12, head_learning_rate=1e-12)  # nothing is learnt: no better score
    _, progress = run_training(options, tmp_path)
    assert len(progress.history) == 2
    assert progress.best_epoch == 0
    assert len(run_training(options, tmp_path)[1].history) == 2


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def judge(model: CxNetwork, *_: object) -> dict[str, float]:
        seen.append(model.heads.value.weight.detach().clone())
        return {"score": 1.0 / len(seen)}

    monkeypatch.setattr(loop, "held_back_score", judge)
    model, progress = run_training(recipe(epochs=2), tmp_path)
    assert progress.best_epoch == 0
    assert not torch.equal(seen[0], seen[1])
    assert torch.equal(model.heads.value.weight, seen[0])
    assert torch.equal(load_file(tmp_path / BEST)["heads.value.weight"], seen[0])


def test_held_back_texts_that_cannot_tell_everything_still_choose(tmp_path: Path) -> None:
    """A user's own few texts may show no touchpoint and no sentiment at all."""
    bare = [dataclasses.replace(e, targets=e.targets.copy()) for e in HELD_BACK]
    for example in bare:
        example.targets[0, TAXONOMY.slices["touchpoints"]] = 0
        example.targets[0, TAXONOMY.slices["sentiment"]] = UNKNOWN
    progress = train(recipe(epochs=1), network(), PAD_ID, [ROWS], bare, TAXONOMY, tmp_path)
    assert 0 < progress.best_score <= 1
    json.loads((tmp_path / "checkpoint" / "progress.json").read_text(), parse_constant=pytest.fail)  # no NaN


# --- the loss -------------------------------------------------------------------------------------------------------------------

OPTIONS = Optimisation(epochs=1)
L = len(TAXONOMY.label_ids)


def loss(logits: Tensor, targets: Tensor, options: Optimisation = OPTIONS, weight: float = 1.0) -> Tensor:
    return batch_loss(logits, targets, torch.full((len(logits),), weight), torch.ones(2, L), TAXONOMY, options)


def test_unknown_targets_give_no_gradient() -> None:
    logits = torch.randn(3, 4, L, requires_grad=True)
    targets = torch.full((3, 4, L), UNKNOWN, dtype=torch.int8)
    targets[0, 0, 2], targets[1, 3, 5] = 1, 0
    loss(logits, targets).backward()
    assert logits.grad is not None
    assert {tuple(i) for i in logits.grad.nonzero().tolist()} == {(0, 0, 2), (1, 3, 5)}
    assert logits.grad[0, 0, 2] < 0 < logits.grad[1, 3, 5]


def test_nothing_known_costs_nothing() -> None:
    logits = torch.randn(2, 3, L, requires_grad=True)
    value = loss(logits, torch.full((2, 3, L), UNKNOWN, dtype=torch.int8))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_sentiment_is_one_of_four_and_only_of_texts() -> None:
    sentiment = TAXONOMY.slices["sentiment"]
    logits = torch.zeros(1, 2, L, requires_grad=True)
    targets = torch.full((1, 2, L), UNKNOWN, dtype=torch.int8)
    targets[0, :, sentiment] = 0
    targets[0, :, sentiment.start + 2] = 1
    value = loss(logits, targets)
    assert value.item() == pytest.approx(0.25 * np.log(4))
    value.backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, sentiment].tolist() == pytest.approx([0.0625, 0.0625, -0.1875, 0.0625])
    assert not logits.grad[0, 1].any()


def test_the_loss_by_hand() -> None:
    logits = torch.zeros(1, 2, L)
    targets = torch.full((1, 2, L), UNKNOWN, dtype=torch.int8)
    targets[0, 0, 0], targets[0, 1, 1] = 1, 0
    assert loss(logits, targets).item() == pytest.approx(np.log(2) * 1.5)  # the clauses count half
    assert loss(logits, targets, weight=0.4).item() == pytest.approx(0.4 * np.log(2) * 1.5)
    assert loss(logits, targets, Optimisation(epochs=1, segment_weight=0)).item() == pytest.approx(np.log(2))


# --- batches --------------------------------------------------------------------------------------------------------------------


def test_batches_cover_every_row_once_an_epoch() -> None:
    options = recipe({"name": "a", "kind": "records", "paths": ["x"]}, {"name": "b", "kind": "records", "paths": ["y"]})
    sources = [ROWS, HELD_BACK]
    for epoch in range(3):
        batches = epoch_batches(options, sources, epoch, 1)
        assert sorted(row for batch in batches for row in batch) == [(0, i) for i in range(72)] + [(1, i) for i in range(24)]
        for batch in batches:
            longest = max(len(sources[s][i].window.input_ids) for s, i in batch)
            assert len(batch) == 1 or longest * len(batch) <= 200


def test_batches_are_the_same_on_every_resume_and_differ_between_epochs() -> None:
    assert epoch_batches(recipe(), [ROWS], 1, 1) == epoch_batches(recipe(), [ROWS], 1, 1)
    assert epoch_batches(recipe(), [ROWS], 1, 1) != epoch_batches(recipe(), [ROWS], 0, 1)


def test_every_process_has_as_many_batches() -> None:
    assert len(epoch_batches(recipe(), [ROWS], 0, 3)) % 3 == 0


@pytest.mark.parametrize(("count", "wanted"), [(10, 4), (10, 10), (10, 3), (7, 20), (1, 3)])
def test_a_share_of_a_source_goes_through_all_rows_before_any_comes_again(count: int, wanted: int) -> None:
    [source] = recipe({"name": "a", "kind": "records", "paths": ["x"], "rows_per_epoch": wanted}).sources
    drawn = [rows_of_epoch(source, count, epoch, 5).tolist() for epoch in range(12)]
    assert all(len(rows) == wanted for rows in drawn)
    endless = [row for rows in drawn for row in rows]
    for start in range(0, len(endless) - count + 1, count):
        assert sorted(endless[start : start + count]) == list(range(count))


def test_the_learning_rate_rises_and_falls_to_zero() -> None:
    optimiser = torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1.0, "peak_lr": 2.0}])
    options = Optimisation(epochs=1, warmup=0.2)
    rates = []
    for step in range(10):
        _schedule(optimiser, step, 10, options)
        rates.append(optimiser.param_groups[0]["lr"])
    assert rates[:3] == pytest.approx([1.0, 2.0, 2.0])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[-1] == pytest.approx(0.25)
