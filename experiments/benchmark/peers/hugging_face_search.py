"""Peer: Hugging Face's `generate` with an exported model, in the virtual environment of hugging_face.py."""

import sys
from collections.abc import Callable
from typing import Any

import torch
import transformers

from experiments.benchmark.peers import worker


def make_translator(settings: dict[str, Any]) -> tuple[dict[str, str], Callable[[list[str]], list[str]]]:
    """Returns the library's versions and its translate function, which sorts sentences by length to reduce padding."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = transformers.MarianMTModel.from_pretrained(settings["marian"])  # its type annotations are inconsistent
    model.to(device).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(settings["marian"])

    @torch.inference_mode()
    def translate(lines: list[str]) -> list[str]:
        ids = tokenizer(lines)["input_ids"]
        order = sorted(range(len(lines)), key=lambda index: len(ids[index]))
        texts = [""] * len(lines)
        for first in range(0, len(order), settings["batch_size"]):
            indices = order[first : first + settings["batch_size"]]
            batch = tokenizer.pad({"input_ids": [ids[index] for index in indices]}, return_tensors="pt").to(device)
            outputs = model.generate(
                **batch, num_beams=settings["beam_size"], length_penalty=settings["length_exponent"], do_sample=False
            )
            for index, text in zip(indices, tokenizer.batch_decode(outputs, skip_special_tokens=True), strict=True):
                texts[index] = text
        return texts

    return {"torch": torch.__version__, "transformers": transformers.__version__}, translate


if __name__ == "__main__":
    sys.exit(worker.serve_translator(make_translator))
