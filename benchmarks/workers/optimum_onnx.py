"""ONNX Runtime as optimum-onnx sets it up. Options: batch size."""

from protocol import serve


def load(folder, options):
    from optimum.onnxruntime import ORTModelForSequenceClassification
    from transformers import AutoTokenizer, pipeline

    model = ORTModelForSequenceClassification.from_pretrained(folder, export=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classify = pipeline("text-classification", model, tokenizer=tokenizer, top_k=None, function_to_apply="sigmoid")
    batch_size = int(options[0]) if options else 8

    return lambda texts: classify(texts, batch_size=batch_size, truncation=True, max_length=384)


serve(load)
