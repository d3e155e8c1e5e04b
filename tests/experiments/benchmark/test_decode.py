import pathlib

import pytest

from experiments.benchmark import decode, parity
from experiments.benchmark.libraries import DECODING_PEERS
from experiments.benchmark.peer_export import export_for_peers
from experiments.benchmark.turns import Peer

_COPYING = Peer("tests.experiments.benchmark.peers.copying_peer")


def test_translations_of_peers_are_compared(tmp_path: pathlib.Path) -> None:
    (tmp_path / "source").write_text("a\nB\nc d\n", encoding="utf-8")
    settings = {"source": str(tmp_path / "source"), "folder": str(tmp_path), "beam_size": 3}
    peers = {"ours": _COPYING, "capitals": _COPYING._replace(arguments=("capitals",))}
    measurements = decode.compare(settings, peers, 3, str(tmp_path))
    assert [measurement["same_as_ours"] for measurement in measurements] == [3, 1]
    assert [measurement["sentences"] for measurement in measurements] == [3, 3]
    assert measurements[0]["versions"] == {"copying": "3"}
    assert measurements[0]["ours_is_faster"] == 1.0
    assert len(decode.table(3, measurements).splitlines()) == 4
    assert "beam 3" in decode.table(3, measurements)
    assert "greedy" in decode.table(1, measurements)


@pytest.mark.slow
def test_every_library_decodes_a_run(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("ctranslate2")
    settings = export_for_peers(str(trained), "test", tmp_path) | {"batch_size": 16, "beam_size": 2}
    measurements = decode.compare(settings, DECODING_PEERS, 2, str(tmp_path))
    assert [measurement["peer"] for measurement in measurements] == list(DECODING_PEERS)
    # The barely trained model rarely predicts EOS, and libraries differ in where they stop; tests/interop compares
    # outputs.
    assert measurements[0]["same_as_ours"] == measurements[0]["sentences"] == measurements[3]["sentences"] > 0


@pytest.mark.slow
def test_an_exported_model_is_the_same_in_every_library(trained: pathlib.Path, tmp_path: pathlib.Path) -> None:
    for name in ("torch", "transformers", "ctranslate2"):
        pytest.importorskip(name)
    comparisons = parity.compare(str(trained), None, 5, tmp_path)
    assert [result["library"] for result in comparisons] == 2 * ["transformers", "ctranslate2", "ctranslate2"]
    assert [result["length_penalty"] for result in comparisons] == 3 * [comparisons[0]["length_penalty"]] + 3 * [0.0]
    assert 0 < comparisons[0]["logits"] < 1e-4
    assert {result["sentences"] for result in comparisons} == {5}
    assert len(parity.table(comparisons).splitlines()) == 8
