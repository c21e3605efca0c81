import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_bundle import tiny_architecture, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.bundle import is_range
from nlp_service.model.encoding import Encoder
from nlp_service.model.network import build_encoder
from nlp_service.preparation import Preparation
from training.ablation import ablate
from training.average import average
from training.batches import epoch_batches
from training.data import Folders, load
from training.loop import BEST
from training.recipe import Recipe
from training.run import _encode, keep_layers, load_network, start

KINDS = [
    ("el pedido llegó tarde", ["frustration"], ["delivery"], "negative"),
    ("el agente fue muy amable", ["satisfaction"], ["staff"], "positive"),
    ("the invoice is wrong", ["anger"], ["billing"], "negative"),
]


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """Invented records, and a tiny encoder in Hugging Face layout."""
    base = tmp_path / "encoder"
    torch.manual_seed(0)
    build_encoder(tiny_architecture(layers=3)).save_pretrained(base)
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer(), **special).save_pretrained(base)
    data = tmp_path / "data" / "ours"
    data.mkdir(parents=True)
    rows = []
    for i in range(40):
        text, emotions, touchpoints, sentiment = KINDS[i % 3]
        language, split = "en" if i % 3 == 2 else "es", "calibration" if i > 30 else "train"
        rows.append(
            {
                "id": f"r{i}", "text": f"{text} hotel {i}", "lang": language, "split": split,
                "emotions": emotions, "touchpoints": touchpoints, "sentiment": sentiment, "signals": [],
                "pairs": [{"touchpoint": touchpoints[0], "emotion": emotions[0], "quote": text}],
            }
        )  # fmt: skip
    (data / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return Folders(tmp_path / "data", None)


def recipe(folders: Folders, **changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "name": "t", "max_tokens": 32, "encoder": {"source": str(folders.data.parent / "encoder"), "trim": None},
        "sources": [{"name": "ours", "kind": "records", "paths": ["ours/*.jsonl"]}],
        "optimisation": {"epochs": 2, "precision": "no", "tokens_per_batch": 128, "learning_rate": 1e-3, "head_learning_rate": 1e-2},
    }  # fmt: skip
    return Recipe.model_validate({**values, **changes})


def test_a_run_describes_itself_and_its_network_can_be_read_back(folders: Folders, tmp_path: Path) -> None:
    run = tmp_path / "run"
    progress = start(recipe(folders), folders, run)
    assert {p.name for p in run.iterdir()} == {
        "recipe.json", "environment.json", "metrics.json", "base", "best.safetensors", "checkpoint",
    }  # fmt: skip
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["best_epoch"] == progress.best_epoch
    assert len(metrics["history"]) == 2
    assert metrics["sources"] == {"ours": {"rows": 31, "left_out": 0}}
    assert Recipe.model_validate_json((run / "recipe.json").read_text()) == recipe(folders)
    assert {"python", "versions"} <= json.loads((run / "environment.json").read_text()).keys()
    network, tokenizer = load_network(run)
    assert tokenizer.encode("pedido", add_special_tokens=False).tokens == ["▁pedido"]
    ids = torch.tensor([[0, *tokenizer.encode("el pedido llegó tarde", add_special_tokens=False).ids, 2]])
    with torch.inference_mode():
        logits = network(ids, torch.ones_like(ids), torch.ones(1, 1, ids.shape[1]))[0, 0]
    index = Taxonomy.default().index
    assert logits[index["delivery"]] > logits[index["loyalty_program"]]

    # The same recipe goes on (and has nothing left to do); another one is refused.
    assert start(recipe(folders), folders, run).history == progress.history
    with pytest.raises(InputError, match="another recipe"):
        start(recipe(folders, seed=99), folders, run)

    # A second run starts from the first one's best weights.
    second = tmp_path / "second"
    options = {**recipe(folders).optimisation.model_dump(), "epochs": 1, "learning_rate": 1e-9, "head_learning_rate": 1e-9}
    again = start(recipe(folders, start_from=str(run), optimisation=options), folders, second)
    assert again.best_score == pytest.approx(progress.best_score, abs=1e-3)


def test_a_run_without_held_back_records_is_refused(folders: Folders, tmp_path: Path) -> None:
    rows = [json.loads(line) for path in folders.data.glob("ours/*.jsonl") for line in path.read_text("utf-8").splitlines()]
    (folders.data / "only").mkdir()
    (folders.data / "only/train.jsonl").write_text("".join(json.dumps({**row, "split": "train"}) + "\n" for row in rows), "utf-8")
    alone = recipe(folders, sources=[{"name": "ours", "kind": "records", "paths": ["only/*.jsonl"]}])
    with pytest.raises(InputError, match="calibration"):
        start(alone, folders, tmp_path / "run")


def test_layers_are_kept_evenly_spread() -> None:
    encoder = build_encoder(tiny_architecture(layers=6))
    layers = list(encoder.encoder.layer)
    kept = keep_layers(encoder, 3)
    assert kept.config.num_hidden_layers == 3
    assert [layers.index(layer) for layer in kept.encoder.layer] == [1, 3, 5]
    with pytest.raises(InputError, match="4 asked for"):
        keep_layers(kept, 4)


def test_noised_copies_are_drawn_now_and_then(folders: Folders, tmp_path: Path) -> None:
    source = {"name": "ours", "kind": "records", "paths": ["ours/*.jsonl"], "noise": 0.5}
    start(recipe(folders, sources=[source]), folders, tmp_path / "run")  # both kinds of rows can be trained on
    data = load(recipe(folders, sources=[source]), folders, Taxonomy.default())
    assert len(data.train["ours"]) == 31
    _, tokenizer = load_network(tmp_path / "run")
    (rows,), _ = _encode(recipe(folders, sources=[source]), data, Preparation(Encoder(tokenizer, 32)), Taxonomy.default())
    assert [row.noised for row in rows] == [False] * 31 + [True] * 31
    assert any(a.window.input_ids != b.window.input_ids for a, b in zip(rows[:31], rows[31:], strict=True))
    chosen = [i for batch in epoch_batches(recipe(folders, sources=[source]), [rows], 0, 1) for _, i in batch]
    assert len(chosen) == 31
    assert {i % 31 for i in chosen} == set(range(31))  # each row or its copy
    assert 5 < sum(i >= 31 for i in chosen) < 26


def test_runs_are_averaged_into_one(folders: Folders, tmp_path: Path) -> None:
    start(recipe(folders), folders, tmp_path / "first")
    start(recipe(folders, start_from=str(tmp_path / "first"), seed=5), folders, tmp_path / "a")
    start(recipe(folders, start_from=str(tmp_path / "first"), seed=6), folders, tmp_path / "b")
    average([tmp_path / "a", tmp_path / "b"], tmp_path / "mean")
    one, other, mean = (load_network(tmp_path / name)[0].heads.value.weight for name in ("a", "b", "mean"))
    assert not torch.allclose(one, other)
    torch.testing.assert_close(mean, (one + other) / 2)
    with pytest.raises(InputError, match="two runs or more"):
        average([tmp_path / "a"], tmp_path / "mean")


def test_a_rounded_run_is_averaged_with_one_that_was_not(folders: Folders, tmp_path: Path) -> None:
    start(recipe(folders), folders, tmp_path / "before")
    after_it = recipe(folders, start_from=str(tmp_path / "before"))
    rounded = after_it.model_copy(update={"optimisation": after_it.optimisation.model_copy(update={"rounded": True})})
    start(rounded, folders, tmp_path / "rounded")
    average([tmp_path / "rounded", tmp_path / "before", tmp_path / "before"], tmp_path / "mean")
    before, after, mean = (load_file(tmp_path / name / BEST) for name in ("before", "rounded", "mean"))
    ranges = {name for name in after if is_range(name)}
    assert ranges == set(after) - set(before) != set()
    for name, tensor in mean.items():
        torch.testing.assert_close(tensor, after[name] if name in ranges else (after[name] + 2 * before[name]) / 3)


def test_networks_of_two_shapes_are_not_averaged(folders: Folders, tmp_path: Path) -> None:
    start(recipe(folders), folders, tmp_path / "a")
    weights = load_file(tmp_path / "a" / BEST)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    save_file(dict(list(weights.items())[1:]), tmp_path / "b" / BEST)
    for runs in (["a", "b"], ["b", "a"]):
        with pytest.raises(InputError, match="another shape"):
            average([tmp_path / run for run in runs], tmp_path / "mean")


def test_a_study_trains_its_variants_once_and_measures_them(folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(recipe(folders).model_dump_json())
    study = tmp_path / "study.yaml"
    study.write_text("base: base.yaml\ncommon: {optimisation.epochs: 1}\nvariants: {as it is: {}, 'other seed': {seed: 7}}\n")
    for row in (lines := (folders.data / "ours/a.jsonl").read_text().splitlines()):
        assert "calibration" in row or "train" in row
    extra = [line.replace('"split": "calibration"', '"split": "dev"').replace('"id": "r', '"id": "d') for line in lines[-6:]]
    (folders.data / "ours/b.jsonl").write_text("\n".join(extra).replace("hotel 3", "room 3"))
    reports = ablate(study, tmp_path / "runs", folders, {})
    assert list(reports) == ["as it is", "other seed"]
    assert reports["as it is"]["all"]["records"] == 6
    assert json.loads((tmp_path / "runs/other-seed/recipe.json").read_text())["seed"] == 7
    before = (tmp_path / "runs/as-it-is/report.json").stat().st_mtime_ns
    assert ablate(study, tmp_path / "runs", folders, {}) == reports
    assert (tmp_path / "runs/as-it-is/report.json").stat().st_mtime_ns == before


def test_a_smaller_network_starts_from_layers_of_a_larger_one_and_learns_from_it(folders: Folders, tmp_path: Path) -> None:
    teacher = tmp_path / "teacher"
    start(recipe(folders), folders, teacher)
    small = {"encoder": {**recipe(folders).encoder.model_dump(), "layers": 2}, "start_from": str(teacher), "teacher": str(teacher)}
    options = {
        **recipe(folders).optimisation.model_dump(),
        "epochs": 1,
        "distillation": 1.0,
        "learning_rate": 1e-9,
        "head_learning_rate": 1e-9,
    }
    run = tmp_path / "small"
    progress = start(recipe(folders, **small, optimisation=options), folders, run)
    large, student = load_network(teacher)[0], load_network(run)[0]
    assert student.encoder.config.num_hidden_layers == 2
    kept = [large.encoder.encoder.layer[i].attention.self.query.weight for i in (1, 2)]  # of three, the last included
    for layer, weight in zip(student.encoder.encoder.layer, kept, strict=True):
        torch.testing.assert_close(layer.attention.self.query.weight, weight, atol=1e-6, rtol=0)
    assert start(recipe(folders, **small, optimisation=options), folders, run).history == progress.history  # goes on where it stopped
