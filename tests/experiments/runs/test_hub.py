"""Models come from the hub and go to it, through a stand-in on this machine."""

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests import hub_server

pytest.importorskip("huggingface_hub", reason="needs the extra `hub`")

# The package reads its variables once, when it is imported.
PROGRAM = """
import json, pathlib, sys
from experiments.runs import hub
for action, *arguments in json.loads(sys.argv[1]):
    try:
        if action == "download":
            folder = hub.download(*arguments)
            print(json.dumps([folder.name, *sorted(path.name for path in folder.iterdir())]))
        else:
            hub.check_upload(arguments[0])
            print(json.dumps(hub.upload(pathlib.Path(arguments[1]), arguments[0])))
    except ValueError as error:
        print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def hub() -> Iterator[hub_server.Hub]:
    with hub_server.running() as server:
        server.models["me/old"] = hub_server.Model(
            {"config.json": b"{}", "pytorch_model.bin": b"1", "tf_model.h5": b"2"}
        )
        weights = {"model.safetensors": b"1", "pytorch_model.bin": b"2", "flax_model.msgpack": b"3"}
        server.models["me/new"] = hub_server.Model({"config.json": b"{}", "source.spm": b"4", **weights})
        server.models["me/gated"] = hub_server.Model(status=403)
        yield server


def run(hub: hub_server.Hub, cache: pathlib.Path, *actions: tuple[str, ...], **environment: str) -> list:
    """Does the actions in a new process; returns their results or errors."""
    settings = {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-c", PROGRAM, json.dumps(actions)]
    hub.requests.clear()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **settings, **environment}
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_model_is_downloaded_once_without_the_files_of_other_libraries(
    hub: hub_server.Hub, tmp_path: pathlib.Path
) -> None:
    commits = {name: hub.models[f"me/{name}"].commit for name in ("old", "new")}
    old, new = [commits["old"], "config.json", "pytorch_model.bin"], [
        commits["new"], "config.json", "model.safetensors", "source.spm",
    ]  # fmt: skip
    references = ["hf:me/old", "hf:me/new", "hf:me/new@main", f"hf:me/new@{commits['new']}"]
    assert run(hub, tmp_path, *(("download", reference) for reference in references)) == [old, new, new, new]
    assert sum("GET" in request and "/resolve/" in request for request in hub.requests) == 5
    offline = run(hub, tmp_path, ("download", "hf:me/old"), ("download", "hf:me/typo"), HF_HUB_OFFLINE="1")
    assert offline == [old, "hf:me/typo: HF_HUB_OFFLINE forbids access to the hub; the cache has no such model"]
    assert hub.requests == []
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:1"}
    assert run(hub, tmp_path, ("download", "hf:me/new"), **unreachable) == [new]


def test_a_model_that_cannot_be_downloaded_is_one_line_with_its_name(
    hub: hub_server.Hub, tmp_path: pathlib.Path
) -> None:
    references = ("hf:me/typo", "hf:me/gated", "hf:me/new@v9", "hf:me/new/x", "hf:", "hf:me/é")
    assert run(hub, tmp_path, *(("download", reference) for reference in references)) == [
        f"hf:me/typo: {hub.url} has no model me/typo, or it is private; check the name, or log in with hf auth login",
        f"hf:me/gated: access needs the consent of the model's owners: {hub.url}/me/gated",
        "hf:me/new@v9: me/new has no such branch, tag or commit",
        "hf:me/new/x: 'me/new/x' is no name of a model, which is USER/NAME",
        "hf:: '' is no name of a model, which is USER/NAME",
        "hf:me/é: 'me/é' is no name of a model, which is USER/NAME",
    ]
    (refused,) = run(hub, tmp_path, ("download", "hf:me/new"), HF_ENDPOINT="http://127.0.0.1:1")
    assert refused.startswith("hf:me/new: http://127.0.0.1:1: ")
    assert "refused" in refused


def test_a_folder_is_uploaded_as_one_commit(hub: hub_server.Hub, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    files = {"README.md": b"---\nlicense: mit\n---\n", "config.json": b"{}", "model.safetensors": b"123" * 99}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    uploads = [("upload", name, str(folder)) for name in ("me/mine", "me/mine", "them/theirs", "mine")]
    first, second, *errors = run(hub, tmp_path, *uploads, HF_TOKEN=hub_server.TOKEN)
    assert first == second == f"{hub.url}/me/mine/tree/{hub.models['me/mine'].commit}"
    assert {name: hub.models["me/mine"].files[name] for name in files} == files
    assert errors == [f"--push=them/theirs: {hub.url} refuses the access token", "--push=mine: is not USER/NAME"]
    assert "them/theirs" not in hub.models


def test_an_upload_without_a_valid_token_is_an_error(hub: hub_server.Hub, tmp_path: pathlib.Path) -> None:
    upload = ("upload", "me/secret", str(tmp_path))
    assert run(hub, tmp_path, upload, HF_TOKEN="") == [
        "--push=me/secret: no access token; log in with hf auth login, or set HF_TOKEN"
    ]
    assert run(hub, tmp_path, upload, HF_TOKEN="hf_wrong") == [f"--push=me/secret: {hub.url} refuses the access token"]
    offline = run(hub, tmp_path, upload, HF_TOKEN=hub_server.TOKEN, HF_HUB_OFFLINE="1")
    assert offline == ["--push=me/secret: HF_HUB_OFFLINE forbids access to the hub"]
    assert "me/secret" not in hub.models
