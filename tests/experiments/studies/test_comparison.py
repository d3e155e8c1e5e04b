"""A run compared with itself."""

import pathlib

import pytest

from experiments.analyze import analyze
from tests.experiments.studies.conftest import flags, results


@pytest.mark.slow
def test_a_run_has_the_same_translations_as_itself(run: pathlib.Path, tmp_path: pathlib.Path) -> None:
    analyze(flags(run, against=str(run), output=str(tmp_path)))
    values = results(tmp_path)["comparison"]
    assert (values["same"], values["p"], values["bleu_difference"], values["differing"]) == (5, 1.0, 0.0, [])
