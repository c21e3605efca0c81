"""fastText, one classifier over all labels, trained on our own training records when it starts. Option: the folder of the records.

It answers with label -> probability, so that its accuracy can be measured too.
"""

import json
import re
import tempfile
from pathlib import Path

from protocol import serve

HEADS = ("emotions", "touchpoints", "signals")


def words(text):
    return " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))


def load(folder, options):
    import fasttext

    rows = [json.loads(line) for path in sorted(Path(options[0]).glob("*.jsonl")) for line in path.open(encoding="utf-8")]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for row in rows:
            if row["split"] == "train":
                labels = [label for head in HEADS for label in row[head]] + [row["sentiment"]]
                file.write(" ".join(f"__label__{label}" for label in labels) + " " + words(row["text"]) + "\n")
        file.flush()
        model = fasttext.train_supervised(
            file.name, loss="ova", dim=100, epoch=25, lr=0.2, wordNgrams=2, minn=3, maxn=5, thread=2, verbose=0
        )

    def read(texts):
        labels, probabilities = model.predict([words(text) for text in texts], k=-1)
        return [
            {label.removeprefix("__label__"): float(p) for label, p in zip(names, values, strict=True)}
            for names, values in zip(labels, probabilities, strict=True)
        ]

    return read


serve(load)
