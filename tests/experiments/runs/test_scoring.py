"""A long line has one translation in all commands, and a validation pair counts or is refused."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments.runs import loading, scoring
from experiments.runs.loading import TrainedSystem
from experiments.runs.long_lines import max_input_tokens, split_line
from experiments.runs.scoring import evaluate_split
from transformer.data.corpus import Pair
from transformer.data.token_dataset import tokenize

SENTENCES = ["Un deux trois quatre cinq six.", "Sept six cinq.", "Deux trois.", "Quatre cinq six sept un deux."]


@pytest.fixture(scope="module")
def loaded(trained: pathlib.Path) -> TrainedSystem:
    return loading.load([str(trained)])


def test_evaluation_translates_the_parts_of_a_long_line(loaded: TrainedSystem) -> None:
    system, params, _ = loaded
    line, decode = " ".join(SENTENCES * 2), system.spec.decode
    (text,) = evaluate_split(system, params, [Pair(line, "One.")], decode)[1]
    parts = split_line(line, max_input_tokens(system.spec), system.tokenizer)
    assert len(parts) > 1
    assert text == " ".join(best.text for best, *_ in system.translator(params, decode, limit=0).translate(parts))


@pytest.mark.slow
def test_evaluate_and_translate_have_one_translation_of_a_line(loaded: TrainedSystem, trained: pathlib.Path) -> None:
    system, params, _ = loaded
    pairs = [Pair(" ".join(SENTENCES * 3), "One."), Pair("Deux trois.", "Two three.")] * 4
    warnings: list[str] = []
    scores, texts = evaluate_split(system, params, pairs, system.spec.decode, warnings.append)
    command = [sys.executable, "-m", "experiments.translate", f"--workdir={trained}"]
    stdin = "".join(pair.source + "\n" for pair in pairs)
    completed = subprocess.run(command, input=stdin, capture_output=True, check=True, text=True)
    assert completed.stdout.splitlines() == texts
    assert [message.split(" has ")[0] for message in warnings] == ["line 1", "line 3", "line 5", "line 7"]
    assert scores["sentences"] == 8
    unsplit = system.translator(params, system.spec.decode, limit=0).translate([pairs[0].source])
    assert unsplit[0][0].text != texts[0]  # the line is long enough to be split


def test_warnings_beyond_a_few_are_counted(loaded: TrainedSystem) -> None:
    system, params, _ = loaded
    warnings: list[str] = []
    pairs = [Pair(" ".join(SENTENCES), "One.")] * 9
    evaluate_split(system, params, pairs, system.spec.decode, warnings.append)
    assert warnings[5:] == ["4 more warnings of these kinds, about other lines"]


def test_long_validation_pairs_count_up_to_the_tokens_of_a_batch(loaded: TrainedSystem) -> None:
    system, params, _ = loaded
    short = [Pair(sentence, sentence) for sentence in SENTENCES]
    plan = system.plan(tokenize(short, system.tokenizer, 23))
    long = Pair("un " * 31 + "un", "un " * 20)
    assert len(system.tokenizer.encode(long.source)) + 1 == system.spec.data.tokens_per_batch
    batches = system.eval_batches([*short, long], plan)
    assert max(batch.source.shape[1] for batch in batches) <= 97
    splits = (short, [long], [*short, long])
    values = [system.loss(params, system.eval_batches(pairs, plan))["loss"] for pairs in splits]
    weights = [sum(len(system.tokenizer.encode(pair.target)) + 1 for pair in pairs) for pairs in (short, [long])]
    assert values[2] == pytest.approx(np.average(values[:2], weights=weights), rel=1e-5)
    with pytest.raises(ValueError, match=r"data\.validation_split=validation, line 5: the pair has \d+ and .* tokens"):
        system.eval_batches([*short, Pair("un " * 500, "One.")], plan)


def test_a_figure_that_fails_is_a_line_to_print(
    loaded: TrainedSystem, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, params, _ = loaded
    pairs = [Pair("Un deux.", "One two.")]
    path = tmp_path / "figure.png"
    assert scoring.attention_figure(system, params, pairs, path) == f"attention figure: {path}"
    assert path.exists()

    def fail(*arguments: object) -> None:
        raise MemoryError("too large")

    monkeypatch.setattr(scoring.attention_plots, "draw_cross_attention", fail)
    line = scoring.attention_figure(system, params, pairs, path)
    assert line == "warning: no attention figure: MemoryError: too large"
