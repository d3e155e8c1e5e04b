"""Small models with random parameters, and tokenizers for them."""

import dataclasses
import io
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import sentencepiece

from configs import base
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop.safetensors import flatten
from transformer.models.build import abstract_model
from transformer.spec import EOS, ModelSpec, Spec
from transformer.training import state as states

FRENCH = [f"{a} {b} {c}" for a in ("un", "deux", "trois") for b in ("chats", "chiens") for c in ("noirs", "dorment.")]
ENGLISH = [f"{a} {b} {c}" for a in ("one", "two", "three") for b in ("cats", "dogs") for c in ("bark", "are asleep.")]
VOCABULARY = 53
SPEC = Spec.from_config(base.get_config().to_dict())
SIZES = {"d_model": 14, "heads": 2, "d_ff": 17, "encoder_layers": 1, "decoder_layers": 2}

# Covers all settings in which Marian models differ.
VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "biased": {"output_bias": True, "activation": "swish", "d_model": 15, "heads": 3},
    "untied": {"tie_embeddings": False, "scale_embeddings": False, "activation": "gelu", "output_bias": True},
}


class Small(NamedTuple):
    """A model in this codebase.

    Attributes:
      spec: settings.
      model: definition of the model.
      params: random, a nested dict.
    """

    spec: ModelSpec
    model: states.ModelDef
    params: dict[str, Any]

    @property
    def flat(self) -> dict[str, np.ndarray]:
        return flatten(self.params)

    def with_params(self, params: Any) -> "Small":
        return self._replace(params=params)

    def logits(self, source_BS: np.ndarray, target_BT: np.ndarray) -> np.ndarray:
        def compute(params: Any, source_BS: jax.Array, target_BT: jax.Array) -> jax.Array:
            model = self.model(params)
            return model.logits(model.decode(model.encode(source_BS), target_BT).hidden_BTD)

        return np.asarray(jax.jit(compute)(self.params, source_BS.astype(np.int32), target_BT.astype(np.int32)))


def small(seed: int = 0, vocabulary: int = VOCABULARY, **changes: Any) -> Small:
    """A model with random parameters, including biases and norms."""
    spec = dataclasses.replace(SPEC.model, **(SIZES | changes))
    model, shapes = states.split(abstract_model(spec, vocabulary))
    generator = np.random.default_rng(seed)
    params = jax.tree.map(lambda leaf: generator.normal(0, 0.4, leaf.shape).astype(np.float32), shapes)
    return Small(spec, model, params)


def sentences(seed: int = 1, vocabulary: int = VOCABULARY) -> tuple[np.ndarray, np.ndarray]:
    """Padded source sentences that end with EOS, and padded decoder inputs that begin with BOS."""
    generator = np.random.default_rng(seed)
    source_BS, target_BT = (generator.integers(4, vocabulary, (5, length)) for length in (7, 11))
    target_BT[:, 0] = 1
    for row, length in enumerate((7, 5, 4, 3, 2)):
        source_BS[row, length - 1 :] = 0
        source_BS[row, length - 1] = EOS
        target_BT[row, length + 2 :] = 0
    return source_BS, target_BT


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer of this codebase with VOCABULARY pieces."""
    return Tokenizer.train_from_texts(FRENCH + ENGLISH, VOCABULARY, "bpe")


@pytest.fixture(scope="session")
def pair_of_models() -> tuple[bytes, bytes]:
    """SentencePiece models of French and English as in OPUS-MT: with normalisation and other special ids."""

    def train(texts: list[str], size: int) -> bytes:
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=model, vocab_size=size, model_type="unigram", minloglevel=2
        )
        return model.getvalue()

    return train(FRENCH, 23), train(ENGLISH, 22)


def pieces_of(model: bytes) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return [processor.id_to_piece(token) for token in range(processor.get_piece_size())]


@pytest.fixture(scope="session")
def opus_vocabulary(pair_of_models: tuple[bytes, bytes]) -> dict[str, int]:
    """Marian's vocabulary of both languages: EOS and UNK first, padding last."""
    pieces = [piece for model in pair_of_models for piece in pieces_of(model) if piece not in ("<s>", "</s>", "<unk>")]
    ordered = ["</s>", "<unk>", ">>fra<<", *dict.fromkeys(pieces), "<pad>"]
    return {piece: token for token, piece in enumerate(ordered)}


@pytest.fixture(scope="session")
def transformers() -> Any:
    """The library `transformers`, with PyTorch."""
    pytest.importorskip("torch", reason="parity with transformers needs PyTorch: pip install -e '.[parity]'")
    return pytest.importorskip("transformers", reason="parity needs transformers: pip install -e '.[interop]'")
