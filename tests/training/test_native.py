import gzip
import json
from pathlib import Path

import pytest
import torch
from tiny_bundle import tiny_architecture, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from nlp_service.core.errors import InputError
from nlp_service.model.network import build_encoder
from training.data import Folders
from training.native import NativeRecipe, native_scores, native_table
from training.recipe import load_strict

RECIPES = Path(__file__).parents[2] / "training/recipes/native"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_recipes_parse(path: Path) -> None:
    recipe = load_strict(path, NativeRecipe)
    assert recipe.corpus == path.stem
    assert len(recipe.seeds) == 3


def test_a_corpus_is_learned_in_its_own_labels(tmp_path: Path) -> None:
    torch.manual_seed(0)
    build_encoder(tiny_architecture()).save_pretrained(tmp_path / "encoder")
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tiny_tokenizer(), **special).save_pretrained(tmp_path / "encoder")
    kinds = [("el pedido llegó tarde", "es", ["cross"]), ("el agente fue muy amable", "es", ["glad"]), ("the invoice came", "en", [])]
    rows = []
    for i in range(96):
        text, lang, labels = kinds[i * 7 // 5 % 3]  # not in step with the rows that are set aside
        row = {
            "id": str(i),
            "text": f"{text} {('clean dirty' if i > 83 else 'hotel room').split()[i % 2]}",  # no text stands on both sides
            "lang": lang,
            "split": "dev" if i > 83 else "train",
            "labels": labels,
        }
        rows.append({**row, "annotated": ["cross", "glad"] if lang == "es" else ["cross"]})
    (tmp_path / "own.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    recipe = NativeRecipe.model_validate(
        {
            "corpus": "own", "languages": ["es", "en"], "seeds": [1, 2], "max_tokens": 32,
            "encoder": {"source": str(tmp_path / "encoder"), "trim": None},
            "optimisation": {"epochs": 4, "precision": "no", "tokens_per_batch": 96, "learning_rate": 3e-3, "head_learning_rate": 3e-2},
        }
    )  # fmt: skip
    spanish, english = native_scores(recipe, tmp_path / "runs", Folders(tmp_path, tmp_path))
    held_back = [row["lang"] for row in rows if row["split"] == "dev"]
    assert (spanish.language, spanish.texts, spanish.labels) == ("es", held_back.count("es"), 2)
    assert min(spanish.macro_f1) == 1.0  # two kinds of text, told apart by their words
    assert len(spanish.macro_f1) == 2
    assert (english.texts, english.labels) == (held_back.count("en"), 0)
    assert f"| es | {spanish.texts} | 2 | 1.000 ± 0.000 | 1.000, 1.000 |" in native_table([spanish])
    with pytest.raises(InputError, match=r"--corpora"):
        native_scores(recipe, tmp_path / "runs", Folders(tmp_path, None))
