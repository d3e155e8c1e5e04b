"""Writes a trained model for other libraries.

    python -m experiments.export --workdir=runs/quickstart --format=marian --output=models/quickstart

marian: a folder that `transformers.MarianMTModel` and `MarianTokenizer` load.
ctranslate2: a folder that `ctranslate2.Translator` loads, and source.spm and target.spm for SentencePiece; matrices as
--quantization says.
safetensors: the parameters of any model under their own names, config.json, and tokenizer.model.

The parameters are those that evaluation uses. A setting that the format cannot express is refused by name, and nothing
is written. Needs the extra `interop`, for ctranslate2 the extra `ctranslate2`.
"""

from absl import flags

from experiments.runs.exporting import FORMATS, export
from experiments.runtime import cli


def define() -> None:
    """Defines the flags."""
    from transformer.interop.ctranslate2 import QUANTIZATIONS

    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_enum("format", "marian", list(FORMATS), "what is to read it")
    flags.DEFINE_string("output", None, "folder to write, new or empty")
    flags.DEFINE_enum("quantization", "float32", QUANTIZATIONS, "ctranslate2: how matrices are kept")


def main(args: cli.Args) -> None:
    """Writes the folder."""
    workdir, form, output = args.workdir, args.format, args.output
    if not workdir or not output:
        cli.refuse("--workdir and --output are needed: the folder of a run, and the folder to write")
    with cli.mistakes():
        if form != "ctranslate2" and cli.is_set("quantization"):
            raise ValueError(f"--quantization: --format={form} has none; --format=ctranslate2 has")
        steps = export(workdir, form, output, args.quantization)
    print(f"{output}: {form}, of checkpoint{'s' * (len(steps) > 1)} {', '.join(map(str, steps))} of {workdir}")


if __name__ == "__main__":
    cli.run(define, main)
