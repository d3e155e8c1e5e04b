import pathlib

import pytest

from transformer import storage


@pytest.mark.parametrize("text", ["s3://b/run", "gs:/b/run", "gcs://b/run", "https://b/run", "gs://", "gs:///run"])
def test_other_urls_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="only gs://BUCKET/FOLDER is supported"):
        storage.path(text)


@pytest.mark.parametrize("text", ["runs/a", "/runs/a", "C:/runs", "runs/a:b", "gs", "~/runs"])
def test_other_texts_are_paths_on_disk(text: str) -> None:
    assert storage.path(text) == pathlib.Path(text)
    assert not storage.in_bucket(storage.path(text))
