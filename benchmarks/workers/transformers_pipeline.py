"""transformers `pipeline("text-classification")`, fp32. Options: batch size."""

from protocol import serve


def load(folder, options):
    from transformers import pipeline

    classify = pipeline("text-classification", folder, device="cpu", top_k=None, function_to_apply="sigmoid")
    batch_size = int(options[0]) if options else 8

    return lambda texts: classify(texts, batch_size=batch_size, truncation=True, max_length=384)


serve(load)
