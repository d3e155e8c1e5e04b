"""A model card has scores with intervals and signatures, the settings, and programs that run."""

import ast
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs import model_card
from experiments.runs.workdir import Workdir, write_json

CODE = {"data__language_code": ">>eng<<"}
SCORES = [model_card.SplitScore("BLEU", 31.254, 1.5, "nrefs:1|bs:1000")]


@pytest.fixture
def workdir(small: Callable[..., dict[str, Any]], tmp_path: pathlib.Path) -> Workdir:
    run = Workdir(tmp_path)
    write_json(run.config, small(train__init_from="hf:someone/opus@main", train__freeze="encoder.*", **CODE))
    write_json(tmp_path / "versions.json", {"commit": "c0ffee"})
    return run


def test_the_scores_are_those_of_the_newest_translations(workdir: Workdir, corpus: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"needs the scores of the split test; run python -m experiments\.eval"):
        model_card.score_test_split(workdir)
    references = pathlib.Path(str(corpus).format(split="test", language="en")).read_text(encoding="utf-8").splitlines()
    workdir.write_translations("test", 9, ["?"] * len(references))
    for other in ("reference", "ensemble.11", "ensemble.13"):
        workdir.write_translations("test", other, ["?"] * len(references))
    worse = [*references[:-1], "Six six."]
    workdir.write_translations("test", 11, worse)
    step, scores = model_card.score_test_split(workdir)
    assert step == 11
    assert [score.name for score in scores] == ["BLEU", "chrF", "bleu_paper"]
    for score in scores:
        assert 50 < score.value < 100
        assert 1 < score.half_width < 60
    assert "|bs:1000|seed:" in scores[0].signature
    assert "case:lc" in scores[2].signature
    workdir.write_translations("test", 11, worse[1:])
    with pytest.raises(ValueError, match="4 hypotheses cannot be scored against 5 references"):
        model_card.score_test_split(workdir)


def test_the_card_describes_the_run(workdir: Workdir) -> None:
    card = model_card.write(workdir, "me/tiny", "cc-by-4.0", SCORES, [4, 11], ctranslate2=True)
    _, fields, text = card.split("---\n", 2)
    values = {key: json.loads(value) for key, value in re.findall(r"^([\w-]+): (.*)$", fields, re.M)}
    assert values["license"] == "cc-by-4.0"
    assert values["language"] == ["fr", "en"]
    assert values["base_model"] == "someone/opus"
    (metric,) = values["model-index"][0]["results"][0]["metrics"]
    assert metric == {"type": "bleu", "value": 31.25, "args": "nrefs:1|bs:1000"}
    assert "French to English, trained on text files, from someone/opus." in text
    assert "- BLEU 31.25 ± 1.50, `nrefs:1|bs:1000`" in text
    assert "c0ffee" in text
    assert "train.freeze = 'encoder.*'" in text
    assert str(workdir.path) not in text
    assert "data.path" not in text
    programs = re.findall("```python\n(.*?)```", text, re.S)
    assert [ast.parse(program) and "me/tiny" in program for program in programs] == [True, True]
    assert '[">>eng<< ..."]' in programs[0]
    assert '[[">>eng<<"] + source.encode("...", out_type=str)]' in programs[1]
    assert "CTranslate2" not in model_card.write(workdir, "me/tiny", "mit", SCORES, [4], ctranslate2=False)
