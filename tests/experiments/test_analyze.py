"""Looking inside runs: an untrained one on the generated corpus, and one of each other architecture."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.analyze import analyze
from experiments.runs.alignment_error import Watched
from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from experiments.studies.inspected_run import Subject
from experiments.studies.phenomena import read_contrasts
from transformer.data.corpus import open_corpus
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import Spec
from transformer.training.checkpoint import Checkpoints

NOTHING = dict.fromkeys(("text", "reference", "file", "split", "contrast", "against", "output", "beam_size"))
SOURCE = "Le chien a aboyé parce qu'il était nerveux."
_RECURRENT = {
    "model__heads": 1, "model__d_state": 7, "model__dropout_attention": 0.0, "model__dropout_feed_forward": 0.0,
}  # fmt: skip


@pytest.fixture(scope="session")
def untrained(
    small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., pathlib.Path]:
    """Makes the folder of a run as it is before its first update."""

    def make(**changes: Any) -> pathlib.Path:
        corpus = {"data__source": "grammar", "data__train_pairs": 300, "data__vocab_size": 160}
        spec = Spec.from_config(small(**corpus | changes))
        folder = tmp_path_factory.mktemp("runs") / "untrained"
        workdir = Workdir(folder)
        workdir.begin(spec)
        tokenizer = Tokenizer.learnt(open_corpus(spec.data).split("train"), spec.data)
        tokenizer.save(workdir.tokenizer)
        checkpoints = Checkpoints(workdir.checkpoints)
        checkpoints.save(1, System.make(spec, tokenizer).fresh_state())
        checkpoints.close()
        return folder

    return make


@pytest.fixture(scope="module")
def run(untrained: Callable[..., pathlib.Path]) -> pathlib.Path:
    return untrained()


def asked(run: pathlib.Path, **flags: Any) -> dict[str, Any]:
    return {"workdir": str(run), "study": [], "pictures": 2, "sentences": 5, **NOTHING, **flags}


def data_of(page: pathlib.Path) -> dict[str, Any]:
    """What a page's script is given."""
    return json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])


def test_a_sentence_is_drawn_and_has_a_page(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed = analyze(asked(run, text=SOURCE, reference="The dog barked because it was nervous.", output=str(tmp_path)))
    names = {f"attention_{kind}.{ending}" for kind in ("encoder", "decoder", "cross") for ending in ("png", "svg")}
    assert {path.name for path in tmp_path.iterdir()} == names | {"attention.html"}
    assert sorted(printed) == sorted(str(path) for path in tmp_path.iterdir())
    (sentence,) = data_of(tmp_path / "attention.html")["sentences"]
    assert [each["title"] for each in sentence["readings"]] == ["translation", "reference"]
    reference = sentence["readings"][1]
    assert " ".join(word for *_, word in reference["target"]["words"]) == "The dog barked because it was nervous . </s>"
    assert {each["name"] for each in reference["attention"]} == {"encoder/0", "decoder/0", "cross/0"}
    assert len(reference["beam"]) == 2
    assert reference["beam"][0]["rank"] >= reference["beam"][1]["rank"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({"model__architecture": "rnnsearch", "model__cross_score": "additive", "model__cell": "gru"}, ["cross"]),
        ({"model__architecture": "seq2seq", "model__tie_embeddings": False}, []),
    ],
)
def test_other_architectures(
    changes: dict[str, Any], kinds: list[str], untrained: Callable[..., pathlib.Path], tmp_path: pathlib.Path
) -> None:
    run = untrained(**_RECURRENT, **changes)
    analyze(asked(run, text=SOURCE, output=str(tmp_path)))
    (sentence,) = data_of(tmp_path / "attention.html")["sentences"]
    (reading,) = sentence["readings"]
    assert [each["kind"] for each in reading["attention"]] == kinds
    assert len(reading["inside"]) == len(kinds)
    assert (tmp_path / "attention_cross.png").exists() == bool(kinds)
    (printed, *_) = analyze(asked(run, study=["heads"], output=str(tmp_path)))
    assert ("no attention, and so no heads" in printed) == (not kinds)
    assert list(json.loads((tmp_path / "analysis.json").read_text())["heads"]["heads"]) == ["cross 1.1"] * len(kinds)
    if kinds:
        analyze(asked(run, study=["alignment"], output=str(tmp_path)))
        assert list(json.loads((tmp_path / "analysis.json").read_text())["alignment"]["error_rate"]) == ["cross 1.1"]
    else:
        with pytest.raises(ValueError, match="seq2seq model has no cross-attention"):
            analyze(asked(run, study=["alignment"], output=str(tmp_path)))


@pytest.mark.slow
def test_studies_of_heads_and_alignment(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    printed = analyze(asked(run, study=["heads", "alignment"], output=str(tmp_path)))
    found = json.loads((tmp_path / "analysis.json").read_text())
    heads, alignment = found["heads"], found["alignment"]
    every = [f"{kind} 1.{head}" for kind in ("encoder", "decoder", "cross") for head in (1, 2, 3)]
    assert list(heads["heads"]) == every
    assert all(each["gradient"] > 0 and each["loss_difference"] != 0 for each in heads["heads"].values())
    curve = heads["pruning"]
    assert curve[0]["loss"] == pytest.approx(heads["loss"])
    assert sorted(each["head"] for each in curve[1:]) == sorted(every)
    # Of few heads all are tried: the first to go is the cheapest of those taken out alone.
    cheapest = min(every, key=lambda head: heads["heads"][head]["loss_difference"])
    assert curve[1]["head"] == cheapest
    assert curve[1]["loss"] == pytest.approx(heads["loss"] + heads["heads"][cheapest]["loss_difference"], abs=1e-5)
    assert list(alignment["error_rate"]) == ["cross 1.1", "cross 1.2", "cross 1.3", "cross 1, mean of heads"]
    assert all(0 <= rate <= 1 for rates in alignment["error_rate"].values() for rate in rates.values())
    assert "Alignment error rate" in printed[1]
    subject = Subject(run)
    pairs = open_corpus(subject.spec.data).split(subject.spec.data.validation_split)[:5]
    noted = Watched(subject.system, pairs)(subject.params)  # what training notes
    assert noted == {
        f"alignment_error/cross/0{part}": pytest.approx(min(alignment["error_rate"][f"cross 1{name}"].values()))
        for part, name in (("/0", ".1"), ("/1", ".2"), ("/2", ".3"), ("", ", mean of heads"))
    }
    page = (tmp_path / "analysis.html").read_text()
    assert page.count("data:image/svg+xml") == 4
    assert (tmp_path / "heads_pruning.png").exists()


@pytest.mark.slow
def test_right_against_wrong_and_two_runs(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """A run has the same translations as itself; what a contrast says does not depend on its neighbours."""
    lines = ["Il dort.\tHe is sleeping.\tShe is sleeping.\tpronoun", "Il dort.\tHe is sleeping.\tHe sleep.\tverb"]
    margins, path = [], tmp_path / "pairs.tsv"
    for text in ("\n".join(lines), lines[1]):
        path.write_text(text + "\n", encoding="utf-8")
        printed = analyze(asked(run, contrast=str(path), output=str(tmp_path)))
        assert "| verb | 1 |" in printed[0]
        margins.append(json.loads((tmp_path / "analysis.json").read_text())["contrast"]["margins"][-1]["margin"])
    assert margins[0] == pytest.approx(margins[1], abs=1e-4)
    analyze(asked(run, study=["heads"], contrast=str(path), output=str(tmp_path)))
    by_head = json.loads((tmp_path / "analysis.json").read_text())["contrast_by_head"]
    assert by_head["margin"] == {"verb": pytest.approx(margins[1], abs=1e-4)}
    changed = [each["verb"] for each in by_head["without"].values()]
    assert len(changed) == len({round(each, 6) for each in changed} | {round(margins[1], 6)}) - 1 == 9
    analyze(asked(run, against=str(run), output=str(tmp_path)))
    found = json.loads((tmp_path / "analysis.json").read_text())["comparison"]
    assert (found["same"], found["p"], found["bleu_difference"], found["differing"]) == (5, 1.0, 0.0, [])


@pytest.mark.slow
def test_a_study_of_phenomena(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    analyze(asked(run, study=["phenomena"], sentences=7, output=str(tmp_path)))
    found = json.loads((tmp_path / "analysis.json").read_text())["phenomena"]
    assert found["contrast"]["kinds"].keys() >= {"number", "agreement"}
    counts = [each["pairs"] for each in found["contrast"]["kinds"].values()]
    assert sum(counts) == len(found["contrast"]["margins"]) > 7
    assert np.isfinite([each["margin"] for each in found["contrast"]["margins"]]).all()
    assert found["length"]["long"]["sentences"] == 7
    assert all(each["score"] == 0 for each in found["exact"])  # untrained


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tb", r"pairs\.tsv:2: 2 columns"),
        ("a\t\tc", r"pairs\.tsv:2: 3 columns"),
        ("a\tb\tb", r"pairs\.tsv:2: the right and the wrong translation are the same"),
    ],
)
def test_a_faulty_line_of_contrasts_is_named(line: str, message: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text(f"a\tb\tc\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        read_contrasts(str(path))


def test_what_training_noted_of_attention(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    analyze(asked(trained, study=["training"], output=str(tmp_path)))
    curves = json.loads((tmp_path / "analysis.json").read_text())["training"]["attention_entropy"]
    assert list(curves) == ["encoder/0", "decoder/0", "cross/0"]
    assert [step for step, _ in curves["cross/0"]] == [3, 6]
    assert all(value > 0 for points in curves.values() for _, value in points)
    with pytest.raises(ValueError, match=r"not data\.source=files"):
        analyze(asked(trained, study=["phenomena"], output=str(tmp_path)))


def test_what_was_never_noted_cannot_be_shown(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="says nothing of attention"):
        analyze(asked(run, study=["training"], output=str(tmp_path)))
