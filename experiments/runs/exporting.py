"""Writes a trained model in the formats of other libraries."""

import importlib.util
import os
import pathlib
import shutil
from typing import TYPE_CHECKING

from experiments.runs.workdir import Workdir
from experiments.runtime import xla_env

if TYPE_CHECKING:
    from experiments.runs.loading import Trained

FORMATS = {"marian": "safetensors", "ctranslate2": "ctranslate2", "safetensors": "safetensors"}  # format → its package


def export(workdir: str, form: str, output: str, quantization: str = "float32") -> list[int]:
    """Writes the model of a run into a new or empty folder; returns the steps that its parameters come from.

    Raises:
      FileNotFoundError: there is no run in `workdir`.
      ValueError: the format cannot express a setting, its package is not installed, or `output` is not empty.
    """
    from transformer.interop.marian import settings

    spec = Workdir(workdir).spec()
    if form != "safetensors":
        settings.refuse(spec.model)
    folder = pathlib.Path(output)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"--output={output}: is there and is no empty folder")
    if importlib.util.find_spec(FORMATS[form]) is None:
        extra = "ctranslate2" if form == "ctranslate2" else "interop"
        raise ValueError(f"--format={form} needs the package {FORMATS[form]}: pip install -e '.[{extra}]'")
    xla_env.prepare(spec.parallel.cpu_devices)
    from experiments.runs import loading

    found = loading.load([workdir])
    # Under another name first: a folder that was cut off would be taken for a model.
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write(partial, found, form, quantization, Workdir(workdir))
    os.replace(partial, folder)
    return found.steps[0]


def _write(folder: pathlib.Path, found: "Trained", form: str, quantization: str, workdir: Workdir) -> None:
    import jax

    from transformer.interop import ctranslate2, safetensors
    from transformer.interop.marian import folder as marian

    system, params = found.system, safetensors.named(jax.device_get(found.params))
    spec, tokenizer = system.spec, system.tokenizer
    if form == "safetensors":
        safetensors.write(folder / "model.safetensors", params)
        for path in (workdir.config, workdir.tokenizer):
            shutil.copyfile(path, folder / path.name)
        return
    # A sentence of training, what an output may have more, and BOS.
    length = spec.data.max_length + spec.decode.max_extra_length + 1
    pieces, (source, target) = tokenizer.pieces(range(tokenizer.vocab_size)), tokenizer.models
    if form == "marian":
        languages = (spec.data.source_language, spec.data.target_language)
        marian.write(folder, params, spec.model, spec.decode, length, pieces, (source, target), languages)
    else:
        ctranslate2.write(folder, params, spec.model, max(512, length), pieces, quantization)
        (folder / "source.spm").write_bytes(source)
        (folder / "target.spm").write_bytes(target)
