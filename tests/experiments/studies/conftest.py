"""Untrained runs on the generated corpus, and the flags of `experiments.analyze`."""

import json
import pathlib
from collections.abc import Callable
from typing import Any

import pytest

from experiments.runs.system import System
from experiments.runs.workdir import Workdir
from experiments.runtime.cli import Args
from transformer.data.corpus import open_corpus
from transformer.data.tokenizers.sentencepiece import Tokenizer
from transformer.spec import Spec
from transformer.training.checkpoint import Checkpoints

UNSET = dict.fromkeys(("text", "reference", "file", "split", "contrast", "against", "output", "beam_size"))
SOURCE = "Le chien a aboyé parce qu'il était nerveux."


@pytest.fixture(scope="session")
def untrained(
    small: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., pathlib.Path]:
    """Makes the workdir of a run before its first update."""

    def make(**changes: Any) -> pathlib.Path:
        corpus = {"data__source": "grammar", "data__train_pairs": 300, "data__vocab_size": 160}
        spec = Spec.from_config(small(**corpus | changes))
        folder = tmp_path_factory.mktemp("runs") / "untrained"
        workdir = Workdir(folder)
        workdir.create_or_check(spec)
        tokenizer = Tokenizer.train(open_corpus(spec.data).split("train"), spec.data)
        tokenizer.save(workdir.tokenizer)
        checkpoints = Checkpoints(workdir.checkpoints)
        checkpoints.save(1, System.make(spec, tokenizer).initial_state())
        checkpoints.close()
        return folder

    return make


@pytest.fixture(scope="session")
def run(untrained: Callable[..., pathlib.Path]) -> pathlib.Path:
    return untrained()


def flags(run: pathlib.Path, **values: Any) -> Args:
    defaults = {"study": [], "seeds": [], "explain": False, "pictures": 2, "sentences": 5, **UNSET}
    return Args(**{"workdir": str(run), **defaults, **values})


def data_of(page: pathlib.Path) -> dict[str, Any]:
    """Returns the data of a page's script."""
    return json.loads(page.read_text(encoding="utf-8").partition('id="data">')[2].partition("</script>")[0])


def results(folder: pathlib.Path) -> dict[str, Any]:
    """Returns the content of analysis.json."""
    return json.loads((folder / "analysis.json").read_text())
