"""Scores against values computed by hand and against the sacreBLEU command; the two kinds of BLEU differ."""

import json
import math
import re
import subprocess
import sys

import pytest

from transformer.evaluation.bleu import bleu, paper_tokens, score

HYPOTHESES = ["Un homme dort sur le banc rouge.", "L'enfant a mangé la pomme verte !", "Aujourd'hui, il pleut."]
REFERENCES = ["Un homme dort sur un banc rouge.", "L'enfant mange la pomme verte !", "aujourd'hui, il pleut."]


def test_by_hand():
    """11 tokens against 12, and n-gram matches counted by hand.

    a b c d e f g h i j k against a b c d x f g h i j k l: 10 of 11 tokens, 8 of 10 pairs (all but de and ef), 6 of 9
    triples (abc bcd fgh ghi hij ijk), 4 of 8 quadruples (abcd fghi ghij hijk).
    """
    expected = 100 * math.exp(1 - 12 / 11) * (10 / 11 * 8 / 10 * 6 / 9 * 4 / 8) ** 0.25
    scores = score(["a b c d e f g h i j k"], ["a b c d x f g h i j k l"], "en")
    assert scores.bleu == pytest.approx(expected, rel=1e-9)
    assert scores.bleu_paper == pytest.approx(expected, rel=1e-9)
    assert bleu(["a b c d e f g h i j k"], ["a b c d x f g h i j k l"]) == pytest.approx(expected, rel=1e-9)
    assert scores.sentences == 1


def test_scores_equal_those_of_the_command(tmp_path):
    for name, lines in (("hypothesis", HYPOTHESES), ("reference", REFERENCES)):
        (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", tmp_path / "reference", "-i", tmp_path / "hypothesis"]
    printed = subprocess.run([*command, "-m", "bleu", "chrf", "-w", "6"], capture_output=True, check=True, text=True)
    bleu_line, chrf_line = json.loads(printed.stdout)
    scores = score(HYPOTHESES, REFERENCES, "fr")
    assert round(scores.bleu, 6) == bleu_line["score"]
    assert round(scores.chrf, 6) == chrf_line["score"]
    assert bleu(HYPOTHESES, REFERENCES) == scores.bleu
    for signature, line in ((scores.signature, bleu_line), (scores.chrf_signature, chrf_line)):
        assert signature == line["signature"]


@pytest.mark.parametrize(
    ("language", "line", "tokens"),
    [
        ("fr", "L'homme n'est pas là.", "l' homme n' est pas là ."),
        ("fr", "Aujourd'hui, il pleut", "aujourd' hui , il pleut"),
        ("fr", "L’été «\u00a0chaud\u00a0» …", 'l " été " chaud " ...'),
        ("fr", "Un T-shirt à 3,50 € ?", "un t-shirt à 3,50 € ?"),
        ("en", "The man's hat isn't “red”.", "the man 's hat isn 't \" red . \""),
        ("fr", "Près d’un coup d’œil", "près d' un coup d \" œil"),
        ("en", "Black & white", "black & white"),
    ],
)
def test_paper_tokens(language, line, tokens):
    assert paper_tokens([line], language) == [tokens]


def test_the_two_kinds_of_bleu_differ_in_case_and_typography():
    """Case and typography lower `bleu` and do not affect `bleu_paper`."""
    scores = score(["l’homme “dort” dans son lit ."], ['L\'homme "dort" dans son lit.'], "fr")
    assert scores.bleu_paper == pytest.approx(100)
    assert scores.bleu < 70


def test_bleu_paper_keeps_the_tokens_of_moses():
    """Moses keeps 5-year as one token, and 13a splits it: 4 of 5, 3 of 4, 2 of 3 and 1 of 2 n-grams, or more."""
    scores = score(["a 5-year b c d"], ["a 5-year b c e"], "en")
    assert scores.bleu_paper == pytest.approx(100 * 0.2**0.25, rel=1e-9)
    assert scores.bleu > scores.bleu_paper + 5


def test_bleu_paper_is_not_smoothed():
    """No 4-gram matches: multi-bleu.perl gives 0, and sacreBLEU with smoothing does not."""
    scores = score(["a b c x d"], ["a b c y d"], "en")
    assert scores.bleu_paper == 0
    assert scores.bleu > 0


def test_signatures_distinguish_the_scores():
    scores = score(HYPOTHESES, REFERENCES, "fr")
    assert re.fullmatch(r"nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:[\d.]+", scores.signature)
    assert re.fullmatch(r"nrefs:1\|case:mixed\|eff:yes\|nc:6\|nw:0\|space:no\|version:[\d.]+", scores.chrf_signature)
    assert scores.bleu_paper_signature.startswith(
        "nrefs:1|case:lc|eff:no|norm:moses-fr|tok:moses-fr|smooth:none|sacremoses:"
    )
    assert json.loads(json.dumps(scores.to_dict())) == scores._asdict()


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [(["a", "b"], ["a"], "2 hypotheses .* 1 references"), ([], ["a"], "0 hypotheses .* 1 ref"), ([], [], "nothing")],
)
def test_unequal_or_no_lines_are_rejected(hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references, "fr")
    with pytest.raises(ValueError, match=message):
        bleu(hypotheses, references)


def test_with_several_references_each_ngram_may_match_any_of_them():
    """By hand: the first reference has "a b", the second "c d"; together they have all but one of the pairs."""
    scores = score(["a b c d"], ["a b x y"], "en", [["z w c d"]])
    assert scores.bleu > score(["a b c d"], ["a b x y"], "en").bleu
    assert scores.signature.startswith("nrefs:2|")
    assert scores.bleu_paper_signature.startswith("nrefs:2|")
    perfect = score(["a b c d e"], ["x"], "en", [["a b c d e"]])
    assert perfect.bleu == perfect.bleu_paper == pytest.approx(100)
    with pytest.raises(ValueError, match="1 hypotheses cannot be scored against 2 references"):
        score(["a"], ["a"], "en", [["a", "b"]])
