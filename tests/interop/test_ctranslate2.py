"""CTranslate2 gives our scores to given targets; tests/experiments/test_export.py compares translations."""

import pathlib
from typing import Any

import numpy as np
import pytest

from tests.interop.conftest import VARIANTS, sentences, small
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.interop import ctranslate2 as interop

every_variant = pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)


@pytest.fixture(scope="module")
def ctranslate2() -> Any:
    return pytest.importorskip("ctranslate2", reason="needs the extra `ctranslate2`")


@every_variant
def test_target_scores_equal_ours(
    ctranslate2: Any, changes: dict[str, Any], tokenizer: Tokenizer, tmp_path: pathlib.Path
) -> None:
    model = small(**changes)
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    interop.write(tmp_path, model.flat, model.spec, 40, pieces, "float32")
    source_BS, target_BT = sentences()
    logits_BTV = model.logits(source_BS, target_BT).copy()
    logits_BTV[..., :2] = -1e4
    logs_BTV = logits_BTV - np.log(np.exp(logits_BTV).sum(axis=-1, keepdims=True))
    translator = ctranslate2.Translator(str(tmp_path), compute_type="float32", intra_threads=1)
    texts, targets = (
        [[pieces[token] for token in row if token > 2] for row in side] for side in (source_BS, target_BT)
    )
    for row, scored in enumerate(translator.score_batch(texts, targets)):
        words = target_BT[row, 1 : 1 + len(targets[row])]
        expected = [logs_BTV[row, position, token] for position, token in enumerate([*words, 2])]
        np.testing.assert_allclose(scored.log_probs, expected, atol=1e-4, rtol=1e-4)


def test_padding_and_bos_are_never_outputs(ctranslate2: Any, tokenizer: Tokenizer, tmp_path: pathlib.Path) -> None:
    model = small(**VARIANTS["biased"])
    model.params["output"]["bias_V"][[0, 1]] = 50
    pieces = tokenizer.pieces(range(tokenizer.vocab_size))
    interop.write(tmp_path, model.flat, model.spec, 40, pieces, "int8")
    translator = ctranslate2.Translator(str(tmp_path), intra_threads=1)
    results = translator.translate_batch([pieces[7:11]], beam_size=3, max_decoding_length=5)
    assert results[0].hypotheses[0]
    assert not {"<pad>", "<s>"} & set(results[0].hypotheses[0])
