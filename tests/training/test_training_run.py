import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_bundle import tiny_architecture, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.network import build_encoder
from training.data import Folders
from training.recipe import Recipe
from training.run import keep_layers, load_network, start

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


def test_layers_are_kept_evenly_spread() -> None:
    encoder = build_encoder(tiny_architecture(layers=6))
    layers = list(encoder.encoder.layer)
    kept = keep_layers(encoder, 3)
    assert kept.config.num_hidden_layers == 3
    assert [layers.index(layer) for layer in kept.encoder.layer] == [1, 3, 5]
    with pytest.raises(InputError, match="4 asked for"):
        keep_layers(kept, 4)
