"""Writes a trained model for other libraries.

    python -m experiments.export --workdir=runs/quickstart --format=marian --output=models/quickstart

marian: a folder that `transformers.MarianMTModel` and `MarianTokenizer` load.
ctranslate2: a folder that `ctranslate2.Translator` loads, and source.spm and target.spm for SentencePiece; matrices as
--quantization says.
safetensors: the parameters of any model under their own names, config.json, and tokenizer.model.

The parameters are those that evaluation uses. A setting that the format cannot express is refused by name, and nothing
is written. Needs the extra `interop`, for ctranslate2 the extra `ctranslate2`.
"""

import importlib.util
import os
import pathlib
import shutil
from typing import TYPE_CHECKING, NamedTuple

from absl import flags

from experiments import command

if TYPE_CHECKING:
    from experiments.trained import Trained
    from experiments.workdir import Workdir

FORMATS = {"marian": "safetensors", "ctranslate2": "ctranslate2", "safetensors": "safetensors"}  # and their packages


class Flags(NamedTuple):
    """What the command takes."""

    workdir: flags.FlagHolder
    format: flags.FlagHolder
    output: flags.FlagHolder
    quantization: flags.FlagHolder


def define() -> Flags:
    """Defines the flags."""
    from transformer.interop.ctranslate2 import QUANTIZATIONS

    return Flags(
        workdir=flags.DEFINE_string("workdir", None, "folder of a run"),
        format=flags.DEFINE_enum("format", "marian", list(FORMATS), "what is to read it"),
        output=flags.DEFINE_string("output", None, "folder to write, new or empty"),
        quantization=flags.DEFINE_enum("quantization", "float32", QUANTIZATIONS, "ctranslate2: how matrices are kept"),
    )


def main(given: Flags) -> None:
    """Writes the folder."""
    workdir, form, output, quantization = (flag.value for flag in given)
    if not workdir or not output:
        command.refuse("--workdir and --output are needed: the folder of a run, and the folder to write")
    with command.mistakes():
        if form != "ctranslate2" and given.quantization.present:
            raise ValueError(f"--quantization: --format={form} has none; --format=ctranslate2 has")
        steps = export(workdir, form, output, quantization)
    print(f"{output}: {form}, of checkpoint{'s' * (len(steps) > 1)} {', '.join(map(str, steps))} of {workdir}")


def export(workdir: str, form: str, output: str, quantization: str = "float32") -> list[int]:
    """Writes the model of a run into a new or empty folder; returns the steps that its parameters come from.

    Raises:
      FileNotFoundError: there is no run in `workdir`.
      ValueError: the format cannot express a setting, its package is not installed, or `output` is not empty.
    """
    from experiments import devices
    from experiments.workdir import Workdir
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
    devices.prepare(spec.parallel.cpu_devices)
    from experiments import trained

    found = trained.load([workdir])
    # Under another name first: a folder that was cut off would be taken for a model.
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    _write(partial, found, form, quantization, Workdir(workdir))
    os.replace(partial, folder)
    return found.steps[0]


def _write(folder: pathlib.Path, found: "Trained", form: str, quantization: str, workdir: "Workdir") -> None:
    import jax

    from transformer.interop import arrays, ctranslate2
    from transformer.interop.marian import folder as marian

    system, params = found.system, arrays.named(jax.device_get(found.params))
    spec, tokenizer = system.spec, system.tokenizer
    if form == "safetensors":
        arrays.write(folder / "model.safetensors", params)
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


if __name__ == "__main__":
    command.run(define, main)
