"""Translation of texts with a search that reverses its input."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from transformer.decoding.hypotheses import LOWEST, SearchResult
from transformer.decoding.translate import EMPTY, SearchPass, Translation, Translator
from transformer.spec import EOS, PAD

WORDS = ["", "", "", "", "un", "chat", "noir", "dort", "ici"]


class Words:
    """One id per word, from 4; splits and joins at spaces."""

    def encode_batch(self, texts):
        return [[WORDS.index(word) for word in text.split()] for text in texts]

    def decode(self, ids):
        return " ".join(WORDS[token] for token in ids if token not in (PAD, EOS))


def batches(ids):
    """Batches of three rows, shortest sentences first, as wide as the longest sentence."""
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    for first in range(0, len(ids), 3):
        source_BS = np.zeros((3, 7), np.int32)
        for row, index in enumerate(order[first : first + 3]):
            source_BS[row, : len(ids[index]) + 1] = [*ids[index], EOS]
        yield order[first : first + 3], source_BS


def reverse(source_BS):
    """Two outputs per sentence: reversed, and without its first word; the second is empty for a single word."""
    tokens_BNT, scores_BN = np.zeros((3, 2, 9), np.int32), np.full((3, 2), LOWEST, np.float32)
    for row, source_S in enumerate(source_BS):
        words = [token for token in source_S if token not in (PAD, EOS)]
        for beam, output in enumerate([words[::-1], words[1:]]):
            if output:
                tokens_BNT[row, beam, : len(output) + 1] = [*output, EOS]
                scores_BN[row, beam] = -len(output) - 0.5 * beam
    return SearchResult(jnp.asarray(tokens_BNT), jnp.asarray(scores_BN), jnp.asarray(scores_BN))


LINES = ["un chat noir dort", "ici", "", "un chat", "noir", "   ", "chat noir", "un chat noir dort ici", "dort ici"]


def test_translations_are_in_the_order_of_the_lines():
    translations = Translator(Words(), SearchPass(reverse, batches)).translate(LINES)
    assert [[translation.text for translation in best] for best in translations] == [
        [" ".join(reversed(line.split()))] for line in LINES
    ]
    assert translations[3] == [Translation("chat un", -2.0, (5, 4, EOS))]
    assert translations[2] == translations[5] == [EMPTY]
    assert isinstance(translations[0][0].score, float)
    assert isinstance(translations[0][0].tokens[0], int)


def test_n_best_returns_the_hypotheses_that_exist():
    translations = Translator(Words(), SearchPass(reverse, batches)).translate(LINES, n_best=2)
    assert translations[0] == [("dort noir chat un", -4.0, (7, 6, 5, 4, EOS)), ("chat noir dort", -3.5, (5, 6, 7, EOS))]
    assert translations[1] == [("ici", -1.0, (8, EOS))]  # one word: there is no second output


def test_equal_texts_of_different_tokens_are_one_translation():
    class Merged(Words):
        def decode(self, ids):
            return super().decode(ids).replace("noir", "chat")

    def searcher(source_BS):
        """Outputs "chat" and "noir", which have the same text, and after a first word "noir" also "dort"."""
        tokens_BNT, scores_BN = np.zeros((3, 3, 9), np.int32), np.full((3, 3), LOWEST, np.float32)
        for row, source_S in enumerate(source_BS):
            for beam in range(3 if source_S[0] == WORDS.index("noir") else 2):
                tokens_BNT[row, beam, :2] = WORDS.index(("chat", "noir", "dort")[beam]), EOS
                scores_BN[row, beam] = -1.0 - beam
        return SearchResult(jnp.asarray(tokens_BNT), jnp.asarray(scores_BN), jnp.asarray(scores_BN))

    best = Translator(Merged(), SearchPass(searcher, batches)).translate(["un chat", "noir dort"], n_best=2)
    assert [[(item.text, item.score) for item in items] for items in best] == [
        [("chat", -1.0)],
        [("chat", -1.0), ("dort", -3.0)],
    ]


def test_prefixes_reach_the_rows_of_their_sentences():
    """The width of a prefix depends on no other sentence; sentences without one are searched without."""
    seen = {}

    def searcher(source_BS, prefix_BT=None):
        for row, source_S in enumerate(source_BS):
            if source_S[0] != PAD:
                prefix = () if prefix_BT is None else tuple(prefix_BT[row][prefix_BT[row] != PAD].tolist())
                width = 0 if prefix_BT is None else prefix_BT.shape[1]
                seen[tuple(source_S[source_S > EOS].tolist())] = (prefix, width)
        return reverse(source_BS)

    sentences, prefixes = ["un chat", "", "noir", "dort ici", "ici"], [[4], [5], [], [6] * 9, [7, 8]]
    Translator(Words(), SearchPass(searcher, batches)).translate(sentences, prefixes=prefixes)
    assert seen == {(4, 5): ((4,), 8), (6,): ((), 0), (7, 8): ((6,) * 9, 16), (8,): ((7, 8), 8)}


@pytest.mark.parametrize(("n_best", "message"), [(3, "n_best: 3 .* keeps 2"), (0, "n_best: 0 is not positive")])
def test_impossible_n_best_is_refused(n_best, message):
    with pytest.raises(ValueError, match=message):
        Translator(Words(), SearchPass(reverse, batches)).translate(LINES, n_best=n_best)


@pytest.mark.parametrize("lines", [[], ["", " "]])
def test_lines_without_text_are_not_passed_to_the_model(lines):
    def unused(ids):
        raise AssertionError

    assert Translator(Words(), SearchPass(unused, unused)).translate(lines) == [[EMPTY] for _ in lines]


def test_sentences_of_unknown_words_are_not_passed_to_the_model():
    class Unknown:
        """Copies the sentence "ici"; other outputs are in capitals."""

        def translate(self, source, ids):
            return "ICI!" if source == "ici" else None

        def decoder(self, source, ids):
            class Capitals(Words):
                def decode(self, ids) -> Any:
                    return f"{super().decode(ids).upper()} from {source}"

            return Capitals()

    searched = []

    def searcher(source_BS):
        searched.extend(source_BS[:, 0].tolist())
        return reverse(source_BS)

    unknown: Any = Unknown()
    translations = Translator(Words(), SearchPass(searcher, batches), unknown=unknown).translate(LINES)
    assert translations[1] == [Translation("ICI!", 0.0, ())]
    assert translations[2] == [EMPTY]
    assert translations[3] == [Translation("CHAT UN from un chat", -2.0, (5, 4, EOS))]
    assert len([token for token in searched if token]) == len([line for line in LINES if line.strip()]) - 1


def test_a_second_pass_searches_the_sentences_that_the_first_did_not_finish():
    searched = []

    def limited(source_BS):
        """Returns empty entries for sentences of more than two words."""
        result = reverse(source_BS)
        long_B1 = np.sum(source_BS > EOS, axis=1, keepdims=True) > 2
        return result._replace(
            tokens_BNT=np.where(long_B1[..., None], PAD, result.tokens_BNT),
            scores_BN=np.where(long_B1, LOWEST, result.scores_BN),
        )

    def full(source_BS):
        searched.extend(int(count) for count in np.sum(source_BS > EOS, axis=1) if count)
        return reverse(source_BS)

    expected = Translator(Words(), SearchPass(reverse, batches)).translate(LINES)
    assert Translator(Words(), SearchPass(limited, batches), SearchPass(full, batches)).translate(LINES) == expected
    assert searched == [4, 5]


def test_batches_are_dispatched_ahead_of_reading():
    """The first result is read after the third batch is dispatched, and no batch waits longer."""
    events = []

    class RecordingWords(Words):
        def decode(self, ids):
            events.append("read")
            return super().decode(ids)

    def searcher(source_BS):
        events.append("dispatch")
        return reverse(source_BS)

    Translator(RecordingWords(), SearchPass(searcher, batches)).translate(["un chat"] * 13)
    dispatch, read = ["dispatch"], ["read"] * 3
    assert events == [*dispatch * 3, *read, *dispatch, *read, *dispatch, *read, *read, "read"]


def test_outputs_that_are_not_finite_are_an_error_that_names_the_sentence():
    def without_noir(source_BS):
        result = reverse(source_BS)
        nan_B1 = (source_BS == WORDS.index("noir")).any(axis=1)[:, None]
        scores_BN = jnp.where(nan_B1, LOWEST, result.scores_BN)
        return SearchResult(jnp.where(nan_B1[..., None], PAD, result.tokens_BNT), scores_BN, scores_BN)

    with pytest.raises(FloatingPointError, match=r"sentence 2, 'chat noir': .* not finite"):
        Translator(Words(), SearchPass(without_noir, batches)).translate(["un", "chat noir", "noir"])
