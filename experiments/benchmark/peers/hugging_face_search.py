"""Hugging Face's `generate` with an exported model, as a worker; its environment is that of hugging_face.py."""

import sys
from collections.abc import Callable
from typing import Any

import torch
import transformers

from experiments.benchmark.peers import worker


def make(settings: dict[str, Any]) -> tuple[dict[str, str], Callable[[list[str]], list[str]]]:
    """The worker's search: sentences sorted by length, so that few cells are padding."""
    where = "cuda" if torch.cuda.is_available() else "cpu"
    model: Any = transformers.MarianMTModel.from_pretrained(settings["marian"])  # whose own annotations disagree
    model.to(where).eval()
    tokenizer = transformers.MarianTokenizer.from_pretrained(settings["marian"])

    @torch.inference_mode()
    def translate(lines: list[str]) -> list[str]:
        ids = tokenizer(lines)["input_ids"]
        order = sorted(range(len(lines)), key=lambda number: len(ids[number]))
        texts = [""] * len(lines)
        for first in range(0, len(order), settings["batch_size"]):
            part = order[first : first + settings["batch_size"]]
            batch = tokenizer.pad({"input_ids": [ids[number] for number in part]}, return_tensors="pt").to(where)
            found = model.generate(
                **batch, num_beams=settings["beam_size"], length_penalty=settings["length_exponent"], do_sample=False
            )
            for number, text in zip(part, tokenizer.batch_decode(found, skip_special_tokens=True), strict=True):
                texts[number] = text
        return texts

    return {"torch": torch.__version__, "transformers": transformers.__version__}, translate


if __name__ == "__main__":
    sys.exit(worker.serve_search(make))
