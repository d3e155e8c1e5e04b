"""Test sets of sacreBLEU, from a folder with their files."""

import pathlib

import pytest
from sacrebleu.dataset import DATASETS

from transformer.data.sources import sacrebleu_sets
from transformer.data.sources.sacrebleu_sets import read_test_set

NAME = "wmt14/full"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """sacreBLEU's folder of the test set; no server answers."""
    monkeypatch.setattr(DATASETS[NAME], "_outdir", str(tmp_path))
    monkeypatch.setattr(DATASETS[NAME], "_rawdir", str(tmp_path / "raw"))
    monkeypatch.setattr(sacrebleu_sets, "connection_error", lambda url: f"no route to {url}")
    return tmp_path


def test_lines_of_a_test_set_that_is_there(folder: pathlib.Path) -> None:
    for field in DATASETS[NAME].fieldnames("fr-en"):
        (folder / f"wmt14_full.fr-en.{field}").write_text(f"{field} un\n{field} deux\n", encoding="utf-8")
    assert read_test_set(NAME, "fr-en") == (["src un", "src deux"], [["ref un", "ref deux"]])


def test_the_files_are_made_from_a_downloaded_archive(folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = folder / "raw" / "test-full"
    raw.mkdir(parents=True)
    (folder / "raw" / "wmt14_full.test-full.tgz").write_bytes(b"unpacked already")
    for side in ("src.en", "ref.fr"):
        text = f'<doc docid="1">\n<seg id="1"> {side} 1 </seg>\n<seg id="2">{side} 2</seg>\n</doc>\n'
        (raw / f"newstest2014-fren-{side}.sgm").write_text(text, encoding="utf-8")
    monkeypatch.setattr(DATASETS[NAME], "maybe_download", lambda: None)
    assert read_test_set(NAME, "en-fr") == (["src.en 1", "src.en 2"], [["ref.fr 1", "ref.fr 2"]])


def test_without_a_network_the_error_says_what_to_download(folder: pathlib.Path) -> None:
    message = r"cannot download the test set wmt14/full from (https://\S+) \(no route to \1\): .*test-full\.tgz"
    with pytest.raises(ValueError, match=message):
        read_test_set(NAME, "fr-en")


@pytest.mark.parametrize(
    ("name", "direction", "message"),
    [
        ("wmt14/ful", "fr-en", r"no test set 'wmt14/ful'; did you mean wmt14/full\?"),
        (NAME, "en-ja", "wmt14/full has no en-ja; it has cs-en, de-en"),
    ],
)
def test_unknown_names_and_directions_are_refused(name: str, direction: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_test_set(name, direction)
