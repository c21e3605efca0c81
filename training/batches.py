"""Which examples a step of training sees: an epoch's rows of each source, in batches of like length."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.examples import Example
from training.recipe import Recipe, Source


def epoch_batches(recipe: Recipe, sources: Sequence[list[Example]], epoch: int, processes: int) -> list[list[tuple[int, int]]]:
    """Batches of (source, row), the same for every process and on every resume. Rows of a source are gone through in turn."""
    rng = np.random.default_rng([recipe.seed, epoch])
    chosen: list[tuple[int, int]] = []
    for s, (source, rows) in enumerate(zip(recipe.sources, sources, strict=True)):
        clean = sum(not row.noised for row in rows)
        for i in rows_of_epoch(source, clean, epoch, recipe.seed + s):
            # Noised copies stand behind the rows in the same order, so the same share of the way leads to the copy.
            noise = len(rows) > clean and rng.random() < source.noise
            chosen.append((s, clean + int(i) * (len(rows) - clean) // clean if noise else int(i)))
    lengths = [len(sources[s][i].window.input_ids) for s, i in chosen]
    # Length plus noise: batches hold texts of like length, yet their make-up changes from epoch to epoch.
    order = np.argsort(np.array(lengths) * rng.uniform(0.85, 1.15, len(lengths)))
    batches: list[list[tuple[int, int]]] = [[]]
    widest = 0
    for k in order:
        widest = max(widest, lengths[k])
        if batches[-1] and widest * (len(batches[-1]) + 1) > recipe.optimisation.tokens_per_batch:
            batches.append([])
            widest = lengths[k]
        batches[-1].append(chosen[k])
    rng.shuffle(batches)
    return batches[: len(batches) // processes * processes]


def rows_of_epoch(source: Source, count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """All rows, or the epoch's share of an endless sequence of shuffles, so that every row comes before any comes twice."""
    wanted = source.rows_per_epoch
    if not wanted or not count:
        return np.arange(count)
    start = epoch * wanted
    rounds = range(start // count, (start + wanted - 1) // count + 1)
    sequence = np.concatenate([np.random.default_rng([seed, r]).permutation(count) for r in rounds])
    return sequence[start - rounds[0] * count :][:wanted]
