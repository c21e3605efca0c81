"""One training run in its folder: base encoder, data, loop. `run/` can be thrown away; the bundle made from it cannot."""

import json
import random
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState
from pydantic import BaseModel
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
from training.checkpoint import Progress
from training.confident import without_doubtful
from training.corpora import corpus_texts
from training.data import Folders, TrainingData, load
from training.examples import Example, examples
from training.loop import BEST, describe_environment, train
from training.noise import noised
from training.quantise import is_rounded, measure, rounded
from training.reading import text_probabilities
from training.recipe import CorpusSource, EncoderConfig, Recipe
from training.vocabulary import trim, wordlist_texts

RECIPE, METRICS, ENVIRONMENT, BASE = "recipe.json", "metrics.json", "environment.json", "base"
_MEASURED = 300  # texts whose activations set the ranges of eight bits


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

    Raises InputError where `run` belongs to another recipe, or no source holds a held-back record.
    """
    refuse_other(recipe, run)
    taxonomy = Taxonomy.default()
    with PartialState().main_process_first():  # the others then find the base made
        network, tokenizer = _first_network(recipe, folders, run, taxonomy)
        if not (run / RECIPE).exists():
            (run / RECIPE).write_text(recipe.model_dump_json(indent=1), "utf-8")
            (run / ENVIRONMENT).write_text(json.dumps(describe_environment(), indent=1))
    pad_id = network.encoder.config.pad_token_id
    data = load(recipe, folders, taxonomy)
    if not data.held_back["calibration"]:
        raise InputError("no source holds a record of split `calibration`: nothing could tell the best epoch")
    if not any(data.train.values()):
        raise InputError("no source holds a record of split `train`")
    sources, held_back = _encode(recipe, data, Preparation(Encoder(tokenizer, recipe.max_tokens)), taxonomy)
    tokens = recipe.optimisation.tokens_per_batch
    for i, source in enumerate(recipe.sources):
        if isinstance(source, CorpusSource) and source.confident:
            p = text_probabilities(network, sources[i], pad_id, tokens)
            sources[i], doubtful = without_doubtful(sources[i], p, taxonomy)
            print(f"{source.name}: {doubtful} doubtful labels of {len(sources[i])} texts are left out")  # noqa: T201
    if recipe.optimisation.rounded and not is_rounded(network.state_dict()):
        rounded(network)
        measure(network, random.Random(recipe.seed).sample(held_back, min(len(held_back), _MEASURED)), pad_id, tokens)
    teacher = _teacher(recipe.teacher, network, tokenizer) if recipe.teacher else None
    _write_metrics(run, data)  # now, for a run that is stopped by hand and another one starts from
    progress = train(recipe, network, pad_id, sources, held_back, taxonomy, run, teacher)
    _write_metrics(run, data, best_epoch=progress.best_epoch, history=progress.history)
    return progress


def refuse_other(recipe: BaseModel, run: Path) -> None:
    """Raises InputError where the folder `run` holds a run of another recipe."""
    if (run / RECIPE).exists() and type(recipe).model_validate_json((run / RECIPE).read_text("utf-8")) != recipe:
        raise InputError(f"{run}: holds a run of another recipe; choose another folder or remove it")


def _first_network(recipe: Recipe, folders: Folders, run: Path, taxonomy: Taxonomy) -> tuple[CxNetwork, Tokenizer]:
    """The network that training begins with: that of `start_from`, with the recipe's number of layers, or one on the base encoder."""
    if not recipe.start_from:
        encoder, tokenizer = prepare_base(recipe.encoder, folders, run / BASE)
        return CxNetwork(encoder, len(taxonomy.label_ids)), tokenizer
    network, tokenizer = load_network(Path(recipe.start_from))
    if recipe.encoder.layers:
        keep_layers(network.encoder, recipe.encoder.layers)
    (run / BASE).mkdir(parents=True, exist_ok=True)
    network.encoder.config.save_pretrained(run / BASE)
    tokenizer.save(str(run / BASE / "tokenizer.json"))
    return network, tokenizer


def _teacher(run: str, network: CxNetwork, tokenizer: Tokenizer) -> CxNetwork:
    """The network of the finished run `run`. Raises InputError where `network` could not learn from it."""
    teacher, its = load_network(Path(run))
    if its.get_vocab() != tokenizer.get_vocab():
        raise InputError(f"teacher {run}: its vocabulary is another one")
    if teacher.encoder.config.hidden_size != network.encoder.config.hidden_size:
        raise InputError(f"teacher {run}: its states are of another size")
    return teacher


def load_network(run: Path) -> tuple[CxNetwork, Tokenizer]:
    """The best network of a run (fp32) and its tokenizer. Raises InputError where `run` has none yet."""
    if not (run / BEST).exists():
        raise InputError(f"{run}: no {BEST}; a run has one after its first epoch")
    weights = load_file(run / BEST)
    config = AutoConfig.from_pretrained(run / BASE, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    encoder = AutoModel.from_config(config, add_pooling_layer=False, attn_implementation="sdpa")
    network = CxNetwork(encoder, len(weights["heads.value.bias"]))
    if is_rounded(weights):
        rounded(network)
    network.load_state_dict(weights)
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


def _write_metrics(run: Path, data: TrainingData, **figures: object) -> None:
    if PartialState().is_main_process:
        sources = {name: {"rows": len(records), "left_out": data.left_out[name]} for name, records in data.train.items()}
        (run / METRICS).write_text(json.dumps({**figures, "sources": sources}, indent=1))
