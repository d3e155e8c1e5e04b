"""The notebook runs from its first cell to its last, with a very small model."""

import pathlib
import re
from typing import Any

import pytest

TOUR = pathlib.Path(__file__).parents[2] / "experiments/tour.ipynb"
SMALL = (
    "model.d_model=12 model.d_ff=17 model.heads=3 model.encoder_layers=1 model.decoder_layers=1 data.source=files "
    "data.train_pairs=61 data.vocab_size=43 data.max_length=23 data.tokens_per_batch=97 data.buckets=1 "
    "train.warmup_steps=2 decode.beam_size=1 decode.batch_size=4 decode.max_extra_length=2"
)


@pytest.mark.slow
def test_the_tour_runs_to_its_end(corpus: pathlib.Path, tmp_path: pathlib.Path) -> None:
    nbformat: Any = pytest.importorskip("nbformat", reason="needs the extra `notebook`")
    nbclient: Any = pytest.importorskip("nbclient", reason="needs the extra `notebook`")
    tour = nbformat.read(TOUR, as_version=4)
    (parameters,) = (cell for cell in tour.cells if "parameters" in cell.metadata.get("tags", ()))
    flags = " ".join(f"--config.{each}" for each in (*SMALL.split(), f"data.path={corpus}"))
    values = {"STEPS": "6", "FLAGS": flags, "RUNS": str(tmp_path / "tour")}
    assert re.findall(r"^%env (\w+)=", parameters.source, re.MULTILINE) == sorted(values, key=parameters.source.find)
    parameters.source = "".join(f"%env {name}={value}\n" for name, value in values.items())
    resources = {"metadata": {"path": str(TOUR.parent)}}
    nbclient.NotebookClient(tour, timeout=300, resources=resources).execute()
    outputs = [output for cell in tour.cells for output in cell.get("outputs", ())]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 3
    texts = "".join(output.get("text", "") for output in outputs)
    assert "error" not in texts
    assert (tmp_path / "tour/analysis/attention.html").exists()


def test_what_is_committed_was_executed() -> None:
    nbformat: Any = pytest.importorskip("nbformat", reason="needs the extra `notebook`")
    tour = nbformat.read(TOUR, as_version=4)
    code = [cell for cell in tour.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [output for cell in code for output in cell.outputs if output.output_type == "error"]
