"""Scores against values computed by hand and against the sacreBLEU command; the two kinds of BLEU differ."""

import json
import math
import re
import subprocess
import sys

import pytest
import sentencepiece

from transformer.evaluation.bleu import bleu, compound_bleu, metric, paper_tokens, score

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
    assert bleu(["a b c d e f g h i j k"], ["a b c d x f g h i j k l"], "en") == pytest.approx(expected, rel=1e-9)
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
    assert bleu(HYPOTHESES, REFERENCES, "fr") == scores.bleu
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
        bleu(hypotheses, references, "fr")


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


def test_chinese_is_scored_by_characters():
    """One of 8 tokens differs: 7 of 8, 5 of 7, 3 of 6 and 1 of 5 n-grams match."""
    scores = score(["我喜欢红色的猫。"], ["我喜欢蓝色的猫。"], "zh")
    assert scores.bleu == scores.bleu_paper == pytest.approx(50)
    assert "|tok:zh|" in scores.signature
    assert "|norm:moses-other|tok:zh|" in scores.bleu_paper_signature
    assert bleu(["我喜欢红色的猫。"], ["我喜欢蓝色的猫。"], "zh") == scores.bleu


@pytest.mark.parametrize(
    ("language", "text", "module"),
    [("ja", "私は猫が好きです。", "MeCab"), ("ko", "나는 고양이를 좋아한다.", "mecab_ko")],
)
def test_japanese_and_korean_are_scored_by_morphemes(language, text, module):
    pytest.importorskip(module)
    scores = score([text], [text], language)
    assert f"|tok:{language}-mecab-" in scores.signature
    assert len(metric(language).tokenizer(text).split()) > len(text.split()) + 2


@pytest.mark.parametrize("language", ["ja", "ko"])
def test_a_missing_tokenizer_names_its_extra(language, monkeypatch):
    monkeypatch.setattr(f"sacrebleu.tokenizers.tokenizer_{language}_mecab.MeCab", None)
    with pytest.raises(ValueError, match=rf"^BLEU of {language} needs .*: pip install -e '.\[{language}\]'$"):
        metric(language)


def test_languages_without_spaces_are_scored_by_pieces_of_flores(tmp_path, monkeypatch):
    """A small model stands in for the published one, which is a download."""
    for module in ("utils", "tokenizers.tokenizer_spm"):
        monkeypatch.setattr(f"sacrebleu.{module}.SACREBLEU_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=rf"flores200: put https://\S+ at {tmp_path}/models/flores200sacrebleuspm$"):
        metric("th")
    (tmp_path / "models").mkdir()
    with (tmp_path / "models/flores200sacrebleuspm").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["ฉันรักแมว"] * 9), model_writer=model, vocab_size=12, model_type="char", minloglevel=2
        )
    scores = score(["ฉันรักแมว"], ["ฉันรักหมา"], "th")
    assert "|tok:flores200|" in scores.signature
    assert 0 < scores.bleu < 100


def test_a_language_without_rules_of_moses_has_another_signature():
    signature = score(["Paka mweusi analala hapa."], ["Paka mweusi analala hapa."], "sw").bleu_paper_signature
    assert "|norm:moses-other|tok:moses-other|" in signature
    assert "|norm:moses-de|tok:moses-de|" in score(["Guten Tag"], ["Guten Tag"], "de").bleu_paper_signature
    assert "|norm:moses-other|tok:moses-ru|" in score(["Привет"], ["Привет"], "ru").bleu_paper_signature


def test_bleu_compound_splits_at_hyphens():
    """Ein E @ Mail @ Text ist gut . against Ein E @ Mail Text ist gut . has 8/9, 6/8, 4/7 and 2/6 of the n-grams."""
    value, signature = compound_bleu(["Ein E-Mail-Text ist gut ."], [["Ein E-Mail Text ist gut."]], "de")
    assert value == pytest.approx(100 * (8 / 9 * 6 / 8 * 4 / 7 * 2 / 6) ** 0.25)
    assert signature.startswith("nrefs:1|case:mixed|eff:no|tok:moses-de|compounds:split|smooth:none|sacremoses:")
    assert compound_bleu(["ein E-Mail-Text ist gut ."], [["Ein E-Mail Text ist gut."]], "de")[0] < value  # cased
