"""The model card of an exported run: README.md of its folder on the Hugging Face hub."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from configs import base
from experiments.runs import hub
from experiments.runs.workdir import Workdir
from experiments.runtime import xla_env
from transformer.data.corpus import open_corpus
from transformer.evaluation import bleu
from transformer.interop.marian import settings
from transformer.languages import language_name
from transformer.spec import Spec

_PRIVATE = ("data.directory", "data.raw_directory", "data.path", "data.prepared", "train.init_from")
DRAWS = 1000  # of the bootstrap over sentences, whose number and seed are in the signatures

_TRANSFORMERS = """```python
from transformers import MarianMTModel, MarianTokenizer

model, tokenizer = (kind.from_pretrained("{name}") for kind in (MarianMTModel, MarianTokenizer))
batch = tokenizer(["{code}..."], return_tensors="pt", padding=True)
print(tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True))
```
"""
_CTRANSLATE2 = """```python
import ctranslate2, huggingface_hub, sentencepiece

folder = huggingface_hub.snapshot_download("{name}", allow_patterns="ctranslate2/*") + "/ctranslate2"
source, target = (sentencepiece.SentencePieceProcessor(f"{{folder}}/{{side}}.spm") for side in ("source", "target"))
search = {{"beam_size": {beams}, "length_penalty": {length_penalty}}}
result = ctranslate2.Translator(folder).translate_batch([{tokens}source.encode("...", out_type=str)], **search)[0]
print(target.decode(result.hypotheses[0]))
```
"""


class SplitScore(NamedTuple):
    """A score of a split, with half the width of its 95 % confidence interval and its signature."""

    name: str
    value: float
    half_width: float
    signature: str


def score_test_split(workdir: Workdir) -> tuple[int, list[SplitScore]]:
    """Scores a run's newest translations of its test split; also returns the step that they come from.

    Raises:
      FileNotFoundError: the split is not translated; the message names the command.
      ValueError: the corpus is not there, or has changed.
    """
    from sacrebleu.metrics.chrf import CHRF

    spec = workdir.spec()
    split, language = spec.data.test_split, spec.data.target_language
    names = [path.name for path in workdir.translations(split, "*").parent.glob(f"{split}.*.txt")]
    numbers = (name.removeprefix(f"{split}.").removesuffix(".txt") for name in names)
    steps = [int(number) for number in numbers if number.isdigit()]  # not of ensembles and references
    if not steps:
        command = f"python -m experiments.evaluate --workdir={workdir.path}"
        raise FileNotFoundError(f"{workdir.path}: the model card needs the scores of the split {split}; run {command}")
    texts = workdir.translations(split, max(steps)).read_text(encoding="utf-8").split("\n")[:-1]
    references = [pair.target for pair in open_corpus(spec.data, xla_env.cache_dir() / "corpus").split(split)]
    signature = bleu.score(texts, references, language).bleu_paper_signature
    paper = [bleu.paper_tokens(lines, language) for lines in (texts, references)]
    rows = []
    for name, scorer, lines in (
        ("BLEU", bleu.metric(language), (texts, references)),
        ("chrF", CHRF(), (texts, references)),
        ("bleu_paper", bleu.unsmoothed(), paper),
    ):
        result = scorer.corpus_score(lines[0], [lines[1]], n_bootstrap=DRAWS)
        own = signature if name == "bleu_paper" else bleu.signature(scorer)
        rows.append(SplitScore(name, result.score, result._ci, own))
    return max(steps), rows


def write(
    workdir: Workdir,
    name: str,
    license_name: str,
    scores: Sequence[SplitScore],
    steps: Sequence[int],
    ctranslate2: bool,
) -> str:
    """Returns the text of the card.

    Args:
      workdir: folder of the run.
      name: USER/NAME of the model on the hub.
      license_name: identifier of the licence, such as "apache-2.0".
      scores: of the test split.
      steps: steps of the checkpoints that the parameters come from.
      ctranslate2: whether the folder has the model for CTranslate2, too.
    """
    spec = workdir.spec()
    data, decode = spec.data, spec.decode
    source, target = map(language_name, (data.source_language, data.target_language))
    corpus, base_model = _corpus(spec), _base_model(spec)
    versions = json.loads((workdir.path / "versions.json").read_text(encoding="utf-8"))
    search = settings.generation_config(decode, 0)
    usage = {"name": name, "beams": search["num_beams"], "length_penalty": search["length_penalty"]}
    code = data.language_code
    usage |= {"code": f"{code} ", "tokens": f'["{code}"] + '} if code else {"code": "", "tokens": ""}
    found = f"beam {decode.beam_size}" if decode.method == "beam" else f"{decode.method} search"
    origin = f", from {base_model}" if base_model else ""
    lines = "\n".join(f"- {row.name} {row.value:.2f} ± {row.half_width:.2f}, `{row.signature}`" for row in scores)
    parts = [
        f"---\n{_front_matter(spec, name, license_name, scores)}---",
        f"# {name.partition('/')[2]}\n\n{source} to {target}, trained on {corpus}{origin}.",
        f"## Scores\n\n{corpus}, split {data.test_split}, {found}; 95 % intervals by bootstrap:\n\n{lines}",
        f"## transformers\n\n{_TRANSFORMERS.format(**usage)}",
        f"## CTranslate2\n\n{_CTRANSLATE2.format(**usage)}" if ctranslate2 else "",
        f"## Training\n\nData: {corpus}, split {data.train_split}, {data.direction}. Updates: {steps[-1]}. Commit of "
        f"the code: {versions['commit'] or 'not recorded'}. Settings other than those of `configs/base.py`:\n\n"
        f"```text\n{_changes(spec)}\n```",
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _corpus(spec: Spec) -> str:
    return {"grammar": "a generated corpus", "files": "text files"}.get(spec.data.source, spec.data.name)


def _base_model(spec: Spec) -> str:
    """Returns the name of the model of the hub that training started from; "" if there is none."""
    origin = spec.train.init_from
    return origin.removeprefix(hub.PREFIX).partition("@")[0] if origin.startswith(hub.PREFIX) else ""


def _front_matter(spec: Spec, name: str, license_name: str, scores: Sequence[SplitScore]) -> str:
    """Returns the fields that the hub reads, in YAML, of which JSON is a part."""
    data = spec.data
    metrics = [{"type": row.name.lower(), "value": round(row.value, 2), "args": row.signature} for row in scores]
    dataset = {"name": _corpus(spec), "type": data.source, "split": data.test_split}
    result = {"task": {"type": "translation"}, "dataset": dataset, "metrics": metrics}
    fields: dict[str, Any] = {
        "license": license_name,
        "language": [data.source_language, data.target_language],
        "library_name": "transformers",
        "pipeline_tag": "translation",
        "model-index": [{"name": name.partition("/")[2], "results": [result]}],
    }
    if base_model := _base_model(spec):
        fields["base_model"] = base_model
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in fields.items())


def _changes(spec: Spec) -> str:
    """Returns the settings that differ from the base config, one a line, without paths of this machine."""
    defaults = base.get_config().to_dict()
    return "\n".join(
        f"{section}.{key} = {value!r}"
        for section, settings in spec.to_dict().items()
        for key, value in settings.items()
        if value != defaults[section][key] and f"{section}.{key}" not in _PRIVATE
    )
