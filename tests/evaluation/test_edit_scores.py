"""chrF++ and TER, by hand and against the sacreBLEU command; several references."""

import json
import subprocess
import sys

import pytest

from transformer.evaluation.bleu import score
from transformer.evaluation.edit_scores import edit_scores

HYPOTHESES = ["the cat sits here", "a dog sleeps now"]
REFERENCES = [["the cat sat here", "the dog sleeps"], ["the cat sits here", "a dog is asleep now"]]


def test_ter_by_hand():
    """One substitution in four words and two edits in three; with both references, the fewest edits of each line."""
    assert edit_scores(HYPOTHESES, REFERENCES[:1], "en")["ter"] == pytest.approx(100 * (1 + 2) / 7)
    assert edit_scores(HYPOTHESES, REFERENCES, "en")["ter"] == pytest.approx(100 * (0 + 2) / (4 + 4))


def test_scores_equal_those_of_the_command(tmp_path):
    paths = [tmp_path / name for name in ("hypotheses", "first", "second")]
    for path, lines in zip(paths, (HYPOTHESES, *REFERENCES), strict=True):
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", *paths[1:], "-i", paths[0], "-m", "bleu", "chrf", "ter", "-w", "6"]
    printed = subprocess.run([*command, "--chrf-word-order", "2"], capture_output=True, check=True, text=True)
    scores = edit_scores(HYPOTHESES, REFERENCES, "en")
    scores |= score(HYPOTHESES, REFERENCES[0], "en", REFERENCES[1:]).to_dict()
    lines = json.loads(printed.stdout)
    for name, line in zip(("bleu", "chrf++", "ter"), lines, strict=True):
        assert round(scores[name], 6) == line["score"]
        assert scores["signature" if name == "bleu" else f"{name}_signature"] == line["signature"]
        assert "nrefs:2" in line["signature"]


def test_signatures_name_the_test_set():
    labels = {"test": "wmt14/full", "lang": "fr-en"}
    scores = edit_scores(HYPOTHESES, REFERENCES, "en", labels)
    for name in ("chrf++", "ter"):
        assert {"nrefs:2", "test:wmt14/full", "lang:fr-en"} <= set(scores[f"{name}_signature"].split("|"))


def test_unequal_numbers_of_lines_are_rejected():
    with pytest.raises(ValueError, match="2 hypotheses cannot be scored against 1 references"):
        edit_scores(HYPOTHESES, [REFERENCES[0], ["the cat"]], "en")


def test_german_has_the_score_of_papers_too():
    scores = edit_scores(["Die E-Mail ist da ."], [["Die E-Mail ist da."]], "de")
    assert scores["bleu_compound"] == pytest.approx(100)
    assert "compounds:split" in scores["bleu_compound_signature"]
    assert "bleu_compound" not in edit_scores(HYPOTHESES, REFERENCES, "en")


def test_ter_of_chinese_counts_characters():
    """One of 6 characters differs; without spaces the line would be one word."""
    scores = edit_scores(["我喜欢红的猫"], [["我喜欢蓝的猫"]], "zh")
    assert scores["ter"] == pytest.approx(100 / 6)
    assert "asian:yes" in scores["ter_signature"]
