"""Writes trained models in the formats of other libraries."""

import importlib.util
import pathlib
import tempfile
from typing import TYPE_CHECKING

from experiments.runs.workdir import Workdir, write_json
from experiments.runtime import xla_env
from transformer import atomic_file, storage

if TYPE_CHECKING:
    from experiments.runs.loading import TrainedSystem

FORMATS = {"marian": "safetensors", "ctranslate2": "ctranslate2", "safetensors": "safetensors"}  # format → its package


def export(workdir: str, format_name: str, output: str, quantization: str = "float32") -> list[int]:
    """Writes the model of a run to a new or empty folder; returns the steps that its parameters come from.

    Args:
      workdir: folder of the run.
      format_name: a key of `FORMATS`.
      output: the folder to write; it appears only when it is complete.
      quantization: dtype of the matrices; for "ctranslate2".

    Raises:
      FileNotFoundError: `workdir` holds no run.
      ValueError: the format cannot express a setting, its package is not installed, or `output` is not empty.
    """
    from transformer.interop.marian import settings

    spec = Workdir(workdir).spec()
    if format_name != "safetensors":
        settings.check_expressible(spec.model)
    folder = storage.path(output)
    if storage.in_bucket(folder):
        raise ValueError(f"--output={output}: a model is exported to a disk; then copy it to the bucket")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--output={output}: exists and is not an empty folder")
    package, extra = FORMATS[format_name], "ctranslate2" if format_name == "ctranslate2" else "interop"
    if importlib.util.find_spec(package) is None:
        raise ValueError(f"--format={format_name} needs the package {package}: pip install -e '.[{extra}]'")
    xla_env.prepare_for(spec.parallel)
    from experiments.runs import loading

    trained = loading.load([workdir])
    with atomic_file.folder(folder) as partial:
        _write(partial, trained, format_name, quantization, Workdir(workdir))
    return trained.steps[0]


def publish(workdir: str, name: str, license_name: str, output: str | None, quantization: str) -> str:
    """Uploads the model of a run to the hub, in the formats marian and ctranslate2 and with a model card.

    Args:
      workdir: folder of the run.
      name: USER/NAME of the model on the hub, which is created if missing.
      license_name: identifier of the model's licence.
      output: a new or empty folder that keeps the files; None: none.
      quantization: dtype of the matrices for CTranslate2.

    Returns:
      The address of the commit.

    Raises:
      FileNotFoundError, ValueError: as of `export`; or the test split is not translated, or the hub cannot be written.
    """
    from experiments.runs import hub, model_card

    run = Workdir(workdir)
    scored, scores = model_card.score_test_split(run)
    hub.check_upload(name)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(output or f"{temporary}/model")
        steps = export(workdir, "marian", str(folder))
        if steps[-1] != scored:
            raise ValueError(
                f"{workdir}: update {steps[-1]} is exported, but {scored} was tested; run experiments.evaluate"
            )
        ctranslate2 = importlib.util.find_spec("ctranslate2") is not None
        if ctranslate2:
            export(workdir, "ctranslate2", str(folder / "ctranslate2"), quantization)
        card = model_card.write(run, name, license_name, scores, steps, ctranslate2)
        (folder / "README.md").write_text(card, encoding="utf-8")
        return hub.upload(folder, name)


def _write(
    folder: pathlib.Path, trained: "TrainedSystem", format_name: str, quantization: str, workdir: Workdir
) -> None:
    import jax

    from experiments.runs import loading
    from transformer.interop import ctranslate2, safetensors
    from transformer.interop.marian import folder as marian

    system, params = trained.system, safetensors.flatten(jax.device_get(trained.params))
    spec, tokenizer = system.spec, system.tokenizer
    if format_name == "safetensors":
        safetensors.write(folder / "model.safetensors", params)
        write_json(folder / workdir.config.name, loading.without_lora(workdir.spec()).to_dict())
        (folder / workdir.tokenizer.name).write_bytes(workdir.tokenizer.read_bytes())
        return
    # The longest sentence of training, the tokens that an output may have in addition, and BOS.
    length = spec.data.max_length + spec.decode.max_extra_length + 1
    pieces, (source, target) = tokenizer.pieces(range(tokenizer.vocab_size)), tokenizer.models
    if format_name == "marian":
        languages = (spec.data.source_language, spec.data.target_language)
        marian.write(folder, params, spec.model, spec.decode, length, pieces, (source, target), languages)
    else:
        ctranslate2.write(folder, params, spec.model, max(512, length), pieces, quantization)
        (folder / "source.spm").write_bytes(source)
        (folder / "target.spm").write_bytes(target)
