"""Writes a trained model in the format of another library.

    python -m experiments.export --workdir=runs/quickstart --format=marian --output=models/quickstart

marian: for `transformers.MarianMTModel` and `MarianTokenizer`.
ctranslate2: for `ctranslate2.Translator`, with source.spm and target.spm for SentencePiece.
safetensors: the parameters of any model under their own names, config.json, and tokenizer.model.

The parameters are those that evaluation uses. If the format cannot express a setting, an error names it and nothing is
written. Needs the extra `interop`, for ctranslate2 the extra `ctranslate2`.
"""

from absl import flags

from experiments.runs.exporting import FORMATS, export
from experiments.runtime import cli, outputs


def define() -> None:
    """Defines the flags."""
    from transformer.interop.ctranslate2 import QUANTIZATIONS

    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_enum("format", "marian", list(FORMATS), "format of the output")
    flags.DEFINE_string("output", None, "folder to write; new or empty")
    flags.DEFINE_enum("quantization", "float32", QUANTIZATIONS, "ctranslate2: dtype of the matrices")


def main(args: cli.Args) -> None:
    """Writes the folder."""
    workdir, format_name, output = args.workdir, args.format, args.output
    if not workdir or not output:
        cli.exit_with_error("--workdir and --output are needed: the folder of a run, and the folder to write")
    with cli.user_errors():
        if format_name != "ctranslate2" and cli.is_set("quantization"):
            raise ValueError(f"--quantization: not supported by --format={format_name}, only by --format=ctranslate2")
        outputs.check_folder("--output", output)
        steps = export(workdir, format_name, output, args.quantization)
    checkpoints = f"checkpoint{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"
    print(f"{output}: {format_name} format, from {checkpoints} of {workdir}")


if __name__ == "__main__":
    cli.run(define, main)
