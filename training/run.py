"""One training run in its folder: base encoder, data, loop. `run/` can be thrown away; the bundle made from it cannot."""

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tqdm import tqdm
from transformers import AutoConfig, AutoModel, PreTrainedModel

from nlp_service.core.errors import InputError
from nlp_service.core.taxonomy import Taxonomy
from nlp_service.model.encoding import Encoder
from nlp_service.model.network import CxNetwork
from nlp_service.preparation import Preparation
from training.base_model import load_base
from training.confident import text_probabilities, without_doubtful
from training.corpora import corpus_texts
from training.data import Folders, TrainingData, load
from training.examples import Example, examples
from training.loop import BEST, Progress, describe_environment, train
from training.noise import noised
from training.recipe import CorpusSource, EncoderConfig, Recipe
from training.vocabulary import trim, wordlist_texts

RECIPE, METRICS, ENVIRONMENT, BASE = "recipe.json", "metrics.json", "environment.json", "base"


def prepare_base(config: EncoderConfig, folders: Folders, place: Path) -> tuple[PreTrainedModel, Tokenizer]:
    """The encoder of the recipe with its vocabulary trimmed, made once and then read from `place`."""
    if not (place / "tokenizer.json").exists():
        encoder, tokenizer = load_base(config.source)
        if config.trim:
            corpora = corpus_texts(folders.corpora).values() if folders.corpora else ()
            tokenizer = trim(encoder, tokenizer, config.trim, wordlist_texts(config.trim.languages, config.trim.words), corpora)
        if config.layers:
            encoder = keep_layers(encoder, config.layers)
        encoder.save_pretrained(place)
        tokenizer.save(str(place / "tokenizer.json"))
    encoder = AutoModel.from_pretrained(
        place, add_pooling_layer=False, attn_implementation="sdpa", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    return encoder, Tokenizer.from_file(str(place / "tokenizer.json"))


def keep_layers(encoder: PreTrainedModel, layers: int) -> PreTrainedModel:
    """The encoder with `layers` of its layers, evenly spread, the last one included."""
    total = len(encoder.encoder.layer)
    if layers > total:
        raise InputError(f"encoder.layers: {layers} asked for, the encoder has {total}")
    chosen = [round((i + 1) * total / layers) - 1 for i in range(layers)]
    encoder.encoder.layer = type(encoder.encoder.layer)([encoder.encoder.layer[i] for i in chosen])
    encoder.config.num_hidden_layers = layers
    return encoder


def start(recipe: Recipe, folders: Folders, run: Path) -> Progress:
    """Trains `recipe` in the folder `run`, or goes on where a killed run stopped. The best weights are `run/best.safetensors`.

    Raises InputError where `run` belongs to another recipe.
    """
    run.mkdir(parents=True, exist_ok=True)
    text = recipe.model_dump_json(indent=1)
    if (run / RECIPE).exists() and (run / RECIPE).read_text("utf-8") != text:
        raise InputError(f"{run}: holds a run of another recipe; choose another folder or remove it")
    (run / RECIPE).write_text(text, "utf-8")
    (run / ENVIRONMENT).write_text(json.dumps(describe_environment(), indent=1))

    taxonomy = Taxonomy.default()
    if recipe.start_from and not (run / BASE).exists():
        shutil.copytree(Path(recipe.start_from) / BASE, run / BASE)
    with PartialState().main_process_first():  # the others then find it made
        encoder, tokenizer = prepare_base(recipe.encoder, folders, run / BASE)
    data = load(recipe, folders, taxonomy)
    preparation = Preparation(Encoder(tokenizer, recipe.max_tokens))
    network = CxNetwork(encoder, len(taxonomy.label_ids))
    if recipe.start_from:
        network.load_state_dict(load_file(Path(recipe.start_from) / BEST))
    sources, held_back = _encode(recipe, data, preparation, taxonomy)
    for i, source in enumerate(recipe.sources):
        if isinstance(source, CorpusSource) and source.confident:
            p = text_probabilities(network, sources[i], encoder.config.pad_token_id, recipe.optimisation.tokens_per_batch)
            sources[i], doubtful = without_doubtful(sources[i], p, taxonomy)
            print(f"{source.name}: {doubtful} doubtful labels of {len(sources[i])} texts are left out")  # noqa: T201
    progress = train(recipe, network, encoder.config.pad_token_id, sources, held_back, taxonomy, run)
    (run / METRICS).write_text(
        json.dumps({"best_epoch": progress.best_epoch, "history": progress.history, "sources": _counts(data)}, indent=1)
    )
    return progress


def load_network(run: Path) -> tuple[CxNetwork, Tokenizer]:
    """The best network of a finished run (fp32) and its tokenizer."""
    encoder = AutoModel.from_config(AutoConfig.from_pretrained(run / BASE), add_pooling_layer=False, attn_implementation="sdpa")
    network = CxNetwork(encoder, len(Taxonomy.default().label_ids))
    network.load_state_dict(load_file(run / BEST))
    return network.eval(), Tokenizer.from_file(str(run / BASE / "tokenizer.json"))


def _encode(recipe: Recipe, data: TrainingData, preparation: Preparation, taxonomy: Taxonomy) -> tuple[list[list[Example]], list[Example]]:
    sources = []
    for i, source in enumerate(recipe.sources):
        # No more rows than all epochs together will draw.
        wanted = source.rows_per_epoch and source.rows_per_epoch * recipe.optimisation.epochs
        rows = data.train[source.name]
        if wanted and wanted < len(rows):
            rows = random.Random(recipe.seed).sample(rows, wanted)
        records = tqdm(rows, f"preparing {source.name}", mininterval=5)
        sources.append(list(examples(records, preparation, taxonomy, i, source.loss_weight)))
        if source.noise:
            rng = random.Random(recipe.seed)
            copies = (replace(record, text=noised(record.text, rng)) for record in rows)
            sources[-1] += examples(copies, preparation, taxonomy, i, source.loss_weight, noised=True)
    held_back = list(examples(data.held_back["calibration"], preparation, taxonomy, -1, 1.0))
    return sources, held_back


def _counts(data: TrainingData) -> dict[str, dict[str, int]]:
    return {name: {"rows": len(records), "left_out": data.left_out[name]} for name, records in data.train.items()}
