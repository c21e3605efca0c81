"""LitServe in front of transformers on the peers' weights, batching as its documentation shows. Arguments: folder, port."""

import sys

import litserve as ls
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer


class Classify(ls.LitAPI):
    def setup(self, device):
        self.tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
        self.model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1]).eval()

    def decode_request(self, request):
        return request["text"]

    def predict(self, texts):
        inputs = self.tokenizer(texts, return_tensors="pt", padding=True, truncation=True, max_length=384)
        with torch.inference_mode():
            return list(torch.sigmoid(self.model(**inputs).logits))

    def encode_response(self, output):
        return {"scores": output.tolist()}


if __name__ == "__main__":
    api = Classify(max_batch_size=16, batch_timeout=0.01)
    ls.LitServer(api, accelerator="cpu").run(port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False)
