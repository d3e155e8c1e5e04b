"""The interface to COMET, with a module in its place: a model that counts the words that a translation shares."""

import pathlib
import sys
from types import ModuleType, SimpleNamespace

import pytest

from transformer.evaluation.comet_score import CometMetric


class SharedWords:
    """Scores a translation by the share of the reference's words that it has; a "bad" model fails."""

    def __init__(self, path: str) -> None:
        content = pathlib.Path(path).read_text(encoding="utf-8")
        if content == "damaged":
            raise KeyError("state_dict")
        self.weight = float(content)

    def predict(self, samples, batch_size, gpus):
        print("Predicting")
        assert gpus == 0
        shares = [
            self.weight * len(set(sample["mt"].split()) & set(sample["ref"].split())) / len(sample["ref"].split())
            for sample in samples
            if sample["src"]
        ]
        return SimpleNamespace(scores=shares, system_score=sum(shares) / len(shares))


@pytest.fixture
def comet(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("comet")
    module.__dict__["load_from_checkpoint"] = SharedWords
    monkeypatch.setitem(sys.modules, "comet", module)
    monkeypatch.delitem(sys.modules, "torch", raising=False)


def test_the_score_of_a_model_in_a_file_or_a_folder(comet, tmp_path, capsys):
    path = tmp_path / "checkpoints" / "model.ckpt"
    path.parent.mkdir()
    path.write_text("0.5")
    for place in (path, tmp_path):
        metric = CometMetric(str(place))
        hypotheses, reference = ["a b", "c"], ["a x", "c d e f"]
        assert metric.score(["un", "deux"], hypotheses, [reference]) == pytest.approx(0.5 * (1 / 2 + 1 / 4) / 2)
        both = metric.score(["un", "deux"], hypotheses, [reference, hypotheses])
        assert both == pytest.approx((0.5 * 3 / 8 + 0.5) / 2)
    assert capsys.readouterr().out == ""  # standard output is for the scores


def test_a_missing_or_damaged_model_is_named(comet, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"checkpoints/model\.ckpt: no such COMET checkpoint"):
        CometMetric(str(tmp_path))
    path = tmp_path / "damaged.ckpt"
    path.write_text("damaged")
    with pytest.raises(ValueError, match=r"damaged\.ckpt: COMET cannot read it: 'state_dict'"):
        CometMetric(str(path))


def test_the_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "comet", None)
    path = tmp_path / "model.ckpt"
    path.write_text("0.5")
    with pytest.raises(ValueError, match=r"needs the extra `comet` .*pip install 'transformer-research\[comet\]'"):
        CometMetric(str(path))
