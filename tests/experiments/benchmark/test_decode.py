import pathlib

import pytest

from experiments.benchmark import decode, parity
from experiments.benchmark.turns import Peer

_COPYING = Peer("tests.experiments.benchmark.copying_peer")


def test_what_peers_find_is_compared(tmp_path: pathlib.Path) -> None:
    (tmp_path / "source").write_text("a\nB\nc d\n", encoding="utf-8")
    settings = {"source": str(tmp_path / "source"), "folder": str(tmp_path), "beam_size": 3}
    peers = {"ours": _COPYING, "loud": _COPYING._replace(arguments=("capitals",))}
    found = decode.compare(settings, peers, 3, str(tmp_path))
    assert [each["same_as_ours"] for each in found] == [3, 1]
    assert [each["sentences"] for each in found] == [3, 3]
    assert found[0]["versions"] == {"copying": "3"}
    assert found[0]["ours_is_faster"] == 1.0
    assert len(decode.table(3, found).splitlines()) == 4
    assert "beam 3" in decode.table(3, found)
    assert "greedy" in decode.table(1, found)


@pytest.mark.slow
def test_a_run_is_searched_by_every_library(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("ctranslate2")
    settings = decode.prepared(str(trained), "test", tmp_path) | {"batch_size": 16, "beam_size": 2}
    found = decode.compare(settings, decode.PEERS, 2, str(tmp_path))
    assert [each["peer"] for each in found] == list(decode.PEERS)
    # This model has hardly learnt to end, and libraries differ in where they stop; tests/interop compares outputs.
    assert found[0]["same_as_ours"] == found[0]["sentences"] == found[3]["sentences"] > 0


@pytest.mark.slow
def test_an_exported_model_is_the_same_everywhere(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("torch", "transformers", "ctranslate2"):
        pytest.importorskip(name)
    found = parity.compare(str(trained), None, 5, tmp_path)
    assert [each["library"] for each in found] == 2 * ["transformers", "ctranslate2", "ctranslate2"]
    assert [each["length_penalty"] for each in found] == 3 * [found[0]["length_penalty"]] + 3 * [0.0]
    assert 0 < found[0]["logits"] < 1e-4
    assert {each["sentences"] for each in found} == {5}
    assert len(parity.table(found).splitlines()) == 8
