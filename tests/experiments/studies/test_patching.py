"""The study of patches, on an untrained run."""

import json
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.analyze import analyze
from experiments.studies.contrasts import SourcePair, generated_pairs
from experiments.studies.inspected_run import InspectedRun
from experiments.studies.patched_run import DIRECTIONS
from experiments.studies.patching import measure_patching
from tests.experiments.studies.conftest import flags
from tests.experiments.studies.test_contrasts import read


def distinguished(run: InspectedRun, pairs: list[SourcePair]) -> list[SourcePair]:
    """Returns the pairs with tokens of which the untrained model prefers the right one for each source."""

    def logits(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        model = run.model
        memory = model.encode(jnp.array([source]))
        return np.asarray(model.logits(model.decode(memory, jnp.array([prefix])).hidden_BTD)[0, -1])

    changed = []
    for pair in pairs:
        own, other = (logits(source, pair.contrast.prefix) for source in (pair.contrast.source, pair.other_source))
        prefers = (own[:, None] > own[None]) & (other[:, None] < other[None])
        right, wrong = (int(token) for token in np.argwhere(prefers)[0])
        changed.append(pair._replace(contrast=pair.contrast._replace(right=right, wrong=wrong)))
    return changed


@pytest.mark.slow
def test_all_of_the_difference_passes_through_the_last_position(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """At the embeddings it is at the changed word, after the last layer at the last word of the prefix."""
    inspected = InspectedRun(run)
    pairs = distinguished(inspected, generated_pairs(inspected, "validation", 7)["number"])
    study = measure_patching(inspected, {"number": pairs}, tmp_path)
    measured = json.loads(json.dumps(study.values, allow_nan=False))["number"]
    assert (measured["pairs"], measured["both_right"]) == (7, 7)
    effect = {(row["site"], row["role"]): row for row in measured["streams"]}
    for direction in ("noising", "denoising"):
        assert effect["decoder/0/residual", "last word"][direction][0] == pytest.approx(1, abs=1e-3)
        assert effect["decoder/0/residual", "earlier words"][direction][0] == pytest.approx(0, abs=1e-3)
        assert effect["encoder/embedding", "other words"][direction][0] == pytest.approx(0, abs=1e-3)
    assert len(measured["heads"]) == 9
    assert {path["to"] for path in measured["paths"]} <= {*measured["heads"], "logits"}
    direct = {path["from"]: path["noising"][0] for path in measured["paths"] if path["to"] == "logits"}
    assert direct["cross 1.2"] == pytest.approx(measured["heads"]["cross 1.2"]["noising"][0], abs=1e-3)
    assert set(measured["circuit"]["heads"]) <= set(measured["heads"])
    assert (measured["circuit"]["found_on"], measured["circuit"]["pairs"]) == (4, 3)
    assert sum(measured["heads"]["cross 1.1"]["weights"].values()) == pytest.approx(1, abs=1e-3)
    assert measured["words"]["random_sets"] == 20
    assert "### Patching: number" in study.markdown
    assert (tmp_path / "patching_number_heads.png").exists()


@pytest.mark.slow
def test_one_pair_of_sources_of_other_lengths(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """It has no intervals, and effects at each position of both sources."""
    inspected = InspectedRun(run)
    sources = [f"Le poulet a dormi parce qu'{reason}." for reason in ("il avait peur", "il était trop lourd")]
    texts = ("He ran.", "It ran.")
    pairs = distinguished(inspected, read(inspected, tmp_path, [(sources[0], *texts), (sources[1], *texts[::-1])]))
    assert len(pairs[0].contrast.source) != len(pairs[0].other_source)
    study = measure_patching(inspected, {"all": pairs}, tmp_path)
    measured = json.loads(json.dumps(study.values, allow_nan=False))["all"]
    assert "circuit" not in measured
    assert all(row[direction][1] is None for row in measured["streams"] for direction in DIRECTIONS)
    last = next(site for site in measured["example"]["sites"] if site["site"] == "encoder/0/residual")
    assert len(last["noising"]) == len(pairs[0].contrast.source)
    assert len(last["denoising"]) == len(pairs[0].other_source)


def test_a_file_without_pairs_is_refused(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    lines = tmp_path / "pairs.tsv"
    lines.write_text("Le chien a dormi.\tThe dog slept.\tThe cat slept.\n")
    with pytest.raises(ValueError, match=r"pairs.tsv: 1 lines"):
        analyze(flags(run, study=["patching"], contrast=str(lines), output=str(tmp_path)))
