"""Models of the Hugging Face hub: `hf:USER/NAME`, or `hf:USER/NAME@REVISION` for a branch, a tag or a commit.

The package huggingface_hub brings its cache, access token and offline mode, and reads its own variables of the
environment: HF_HOME, HF_TOKEN, HF_HUB_OFFLINE, HF_ENDPOINT.
"""

import contextlib
import importlib.util
import pathlib
from collections.abc import Iterator

PREFIX = "hf:"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the second only without the first
_FILES = ("config.json", "tokenizer_config.json", "vocab.json", "target_vocab.json", "source.spm", "target.spm")


def download(reference: str) -> pathlib.Path:
    """Downloads a Marian model, unless the cache has it; returns its folder, whose name is the commit's hash.

    Raises:
      ValueError: the hub has no such model, or cannot be reached; the message names the model and the cause.
    """
    name, _, revision = reference.removeprefix(PREFIX).partition("@")
    with _errors_in_one_line(reference, name):
        from huggingface_hub import snapshot_download

        folder = pathlib.Path(snapshot_download(name, revision=revision or None, allow_patterns=[*_FILES, _WEIGHTS[0]]))
        if not (folder / _WEIGHTS[0]).exists():
            snapshot_download(name, revision=folder.name, allow_patterns=[*_FILES, *_WEIGHTS])
    return folder


def check_upload(name: str) -> None:
    """Checks that a model can be uploaded as USER/NAME: the name, the connection and the access token.

    Raises:
      ValueError: one of them is wrong.
    """
    if name.count("/") != 1:
        raise ValueError(f"--push={name}: is not USER/NAME")
    with _errors_in_one_line(f"--push={name}", name):
        from huggingface_hub import HfApi

        HfApi().whoami()


def upload(folder: pathlib.Path, name: str) -> str:
    """Uploads the files of a folder as one commit to the model USER/NAME, created if missing; returns its address.

    Raises:
      ValueError: the hub refuses it, or cannot be reached.
    """
    with _errors_in_one_line(f"--push={name}", name):
        from huggingface_hub import HfApi

        api = HfApi()
        url = api.create_repo(name, exist_ok=True)
        commit = api.upload_folder(repo_id=name, folder_path=folder, commit_message="Export the model")
    return f"{url}/tree/{commit.oid}"


@contextlib.contextmanager
def _errors_in_one_line(what: str, name: str) -> Iterator[None]:
    """Raises a ValueError that names `what` and the cause, instead of the package's errors."""
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ValueError(f"{what} needs the package huggingface_hub: pip install -e '.[hub]'")
    from huggingface_hub import constants, errors
    from huggingface_hub.utils import validate_repo_id

    endpoint = constants.ENDPOINT
    try:
        validate_repo_id(name)
        yield
    except Exception as error:  # of several packages: huggingface_hub's, and those of its HTTP client
        reason = str(error.__cause__ or error).strip().partition("\n")[0] or type(error).__name__
        cause = f"{endpoint}: {reason}"  # such as a refused connection
        if isinstance(error, errors.HFValidationError):
            cause = f"{name!r} is no name of a model, which is USER/NAME"
        elif isinstance(error, errors.LocalTokenNotFoundError):
            cause = "no access token; log in with hf auth login, or set HF_TOKEN"
        elif isinstance(error, errors.RevisionNotFoundError):
            cause = f"{name} has no such branch, tag or commit"
        elif isinstance(error, errors.GatedRepoError):
            cause = f"access needs the consent of the model's owners: {endpoint}/{name}"
        elif isinstance(error, errors.RepositoryNotFoundError):
            cause = f"{endpoint} has no model {name}, or it is private; check the name, or log in with hf auth login"
        elif isinstance(error, errors.HfHubHTTPError) and error.response.status_code in (401, 403):
            cause = f"{endpoint} refuses the access token"
        elif constants.HF_HUB_OFFLINE:
            lacking = "; the cache has no such model" * isinstance(error, errors.LocalEntryNotFoundError)
            cause = f"HF_HUB_OFFLINE forbids access to the hub{lacking}"
        raise ValueError(f"{what}: {cause}") from error
