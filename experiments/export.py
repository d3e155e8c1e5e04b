"""Writes a trained model in the format of another library.

    python -m experiments.export --workdir=runs/quickstart --format=marian --output=models/quickstart

marian: for `transformers.MarianMTModel` and `MarianTokenizer`.
ctranslate2: for `ctranslate2.Translator`, with source.spm and target.spm for SentencePiece.
safetensors: the parameters of any model under their own names, config.json, and tokenizer.model.

    python -m experiments.export --workdir=runs/quickstart --push=USER/NAME --license=apache-2.0

--push uploads both formats with a model card to the Hugging Face hub (extra `hub`); --output also keeps the files.

The parameters are those that evaluation uses. If the format cannot express a setting, an error names it and nothing is
written. Needs the extra `interop`, for ctranslate2 the extra `ctranslate2`.
"""

from absl import flags

from experiments.runs.exporting import FORMATS, export, publish
from experiments.runtime import cli, outputs


def define() -> None:
    """Defines the flags."""
    from transformer.interop.ctranslate2 import QUANTIZATIONS

    flags.DEFINE_string("workdir", None, "folder of a run")
    flags.DEFINE_enum("format", "marian", list(FORMATS), "format of the output")
    flags.DEFINE_string("output", None, "folder to write; new or empty")
    flags.DEFINE_string("push", None, "USER/NAME: uploads the model to the Hugging Face hub, with a model card")
    flags.DEFINE_string("license", None, "push: licence of the model, such as apache-2.0 or cc-by-4.0")
    flags.DEFINE_enum("quantization", "float32", QUANTIZATIONS, "ctranslate2: dtype of the matrices")


def main(args: cli.Args) -> None:
    """Writes the folder, or uploads the model."""
    workdir, format_name, output = args.workdir, args.format, args.output
    if not workdir or not (output or args.push):
        cli.exit_with_error("--workdir and --output are needed: the folder of a run, and the folder to write")
    with cli.user_errors():
        if args.push:
            _check_push(args)
            if output:
                outputs.check_folder("--output", output)
            print(publish(workdir, args.push, args.license, output, args.quantization))
            return
        if format_name != "ctranslate2" and cli.is_set("quantization"):
            raise ValueError(f"--quantization: not supported by --format={format_name}, only by --format=ctranslate2")
        outputs.check_folder("--output", output)
        steps = export(workdir, format_name, output, args.quantization)
    checkpoints = f"checkpoint{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"
    print(f"{output}: {format_name} format, from {checkpoints} of {workdir}")


def _check_push(args: cli.Args) -> None:
    if args.format != "marian":
        raise ValueError(f"--format={args.format}: --push uploads the formats marian and ctranslate2; leave it out")
    if not args.license:
        raise ValueError("--push needs --license, the licence of the model, such as apache-2.0 or cc-by-4.0")


if __name__ == "__main__":
    cli.run(define, main)
