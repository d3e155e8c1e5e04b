"""Corpus scores of translations: BLEU and chrF by sacreBLEU, and the BLEU of the Multi30k and the WMT 2014 papers.

Three scores are called BLEU, and they differ by several points on the same translations. So they have three names:

`bleu`
    sacreBLEU's (Post 2018): case-sensitive, raw text against raw text, tokenised by its "13a" or, in a language of
    `TOKENIZERS`, by the tokenizer there, exponential smoothing. Its `signature` specifies all of this; only scores with
    equal signatures may be compared.

`bleu_paper`
    the score in papers about Multi30k, which score lower-cased and tokenised text. Hypotheses and references pass
    through the steps of the data set's `task1-tokenize.sh` ("lc.norm.tok"): lower-case, then normalise punctuation,
    then Moses-tokenise, the last two for the target language. The result is scored without further tokenisation and
    without smoothing, like `multi-bleu.perl`. Moses's XML escapes (&apos; for ') are disabled: they rename tokens on
    both sides equally and change no count. The quirks of the Perl scripts are kept (the ’ of d’œil becomes a quotation
    mark, because œ is not a letter for them): with escapes, the French training, validation and 2016 test files and
    the English 2016 test file have exactly the lengths of the data set's own tokenised files. Where Moses has no rules
    for the language, its general ones apply, with English abbreviations, and the signature says "moses-other". In a
    language of `TOKENIZERS`, sacreBLEU's tokenizer replaces Moses's.

`bleu_compound`
    the score of Vaswani et al. 2017 for English-German, as tensor2tensor's get_ende_bleu.sh computes it:
    case-sensitive, Moses-tokenised, each word split at its hyphens into parts and "##AT##-##AT##", without smoothing.

Never compare one kind with another.
"""

import importlib.metadata
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

# sacreBLEU's tokenizers of languages whose words "13a" cannot find: Chinese and its varieties, Japanese, Korean, and
# languages without spaces between words (Thai, Lao, Khmer, Burmese, Shan, Tibetan, Dzongkha).
TOKENIZERS = dict.fromkeys(("zh", "cmn", "yue", "wuu"), "zh") | {"ja": "ja-mecab", "ko": "ko-mecab"}
TOKENIZERS |= dict.fromkeys(("th", "lo", "km", "my", "shn", "bo", "dz"), "flores200")
_DEFAULT = "13a"
_NORMALIZED = ("en", "de", "es", "fr", "cs")  # languages for which Moses's punctuation normaliser has own rules
_HYPHEN = re.compile(r"(\S)-(\S)")


class CorpusScores(NamedTuple):
    """Corpus scores, each between 0 and 100, higher is better, with their signatures."""

    bleu: float  # sacreBLEU, raw text
    chrf: float  # sacreBLEU's chrF2, raw text
    bleu_paper: float  # lower-cased, normalised, Moses-tokenised text; not comparable with `bleu`
    signature: str  # of `bleu`
    chrf_signature: str
    bleu_paper_signature: str
    sentences: int

    def to_dict(self) -> dict[str, Any]:
        """Returns field name to value, for JSON."""
        return self._asdict()


def score(
    hypotheses: Sequence[str],
    references: Sequence[str],
    language: str,
    others: Sequence[Sequence[str]] = (),
    labels: Mapping[str, str] | None = None,
) -> CorpusScores:
    """Computes corpus scores of translations with one reference each, or several.

    Args:
      hypotheses: detokenised translations.
      references: raw reference text: not lower-cased, and not encoded and decoded by a tokenizer.
      language: code of the target language.
      others: further lists of references, each with one per hypothesis.
      labels: further items of the signatures, such as "test".

    Raises:
      ValueError: there are no hypotheses, or not as many references; or see `metric`.
    """
    from sacrebleu.metrics.chrf import CHRF

    every = [references, *others]
    check_references(hypotheses, every)
    metrics = {"bleu": metric(language), "chrf": CHRF()}
    values = {name: scorer.corpus_score(hypotheses, every).score for name, scorer in metrics.items()}
    return CorpusScores(
        bleu=values["bleu"],
        chrf=values["chrf"],
        bleu_paper=paper_bleu(hypotheses, references, language, others),
        signature=signature(metrics["bleu"], labels),
        chrf_signature=signature(metrics["chrf"], labels),
        bleu_paper_signature=_paper_signature(language, len(every)),
        sentences=len(references),
    )


def metric(language: str) -> Any:
    """Returns sacreBLEU's BLEU for a target language.

    Raises:
      ValueError: the tokenizer of the language needs packages or a model that are not there; the message names them.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.tokenizers.tokenizer_spm import SPM_MODELS
    from sacrebleu.utils import SACREBLEU_DIR

    name = TOKENIZERS.get(language, _DEFAULT)
    if name in SPM_MODELS:
        url = SPM_MODELS[name]["url"]
        path = os.path.join(SACREBLEU_DIR, "models", os.path.basename(url))
        if not os.path.exists(path):  # sacreBLEU would download it, and wait without limit
            raise ValueError(f"BLEU of {language} needs the model of sacreBLEU's tokenizer {name}: put {url} at {path}")
    try:
        return BLEU(tokenize=name, force=True)  # without warnings about tokenised text
    except RuntimeError as error:
        raise ValueError(f"BLEU of {language} needs more packages: pip install -e '.[{language}]'") from error


def signature(metric: Any, labels: Mapping[str, str] | None = None) -> str:
    """Returns the signature of a sacreBLEU metric that has computed a score, with further items, such as "test"."""
    result = metric.get_signature()
    for name, value in (labels or {}).items():
        result.update(name, value)
    return str(result)


def bleu(hypotheses: Sequence[str], references: Sequence[str], language: str) -> float:
    """Computes only `CorpusScores.bleu`, for validation during training; raises ValueError like `score`."""
    check_references(hypotheses, [references])
    return metric(language).corpus_score(hypotheses, [references]).score


def paper_bleu(
    hypotheses: Sequence[str], references: Sequence[str], language: str, others: Sequence[Sequence[str]] = ()
) -> float:
    """Computes only `CorpusScores.bleu_paper`; raises ValueError like `score`."""
    check_references(hypotheses, [references, *others])
    every = [paper_tokens(lines, language) for lines in (references, *others)]
    return unsmoothed().corpus_score(paper_tokens(hypotheses, language), every).score


def compound_bleu(hypotheses: Sequence[str], references: Sequence[Sequence[str]], language: str) -> tuple[float, str]:
    """Computes `bleu_compound`, and its signature; raises ValueError like `score`.

    Args:
      hypotheses: detokenised translations.
      references: one or several lists of raw references.
      language: code of the target language.
    """
    check_references(hypotheses, references)
    every = [[_HYPHEN.sub(r"\1 ##AT##-##AT## \2", line) for line in _moses(lines, language)] for lines in
             (hypotheses, *references)]  # fmt: skip
    items = f"case:mixed|eff:no|tok:{_rules(language)}|compounds:split|smooth:none"
    return unsmoothed().corpus_score(every[0], every[1:]).score, _versions(f"nrefs:{len(references)}|{items}")


def paper_tokens(lines: Iterable[str], language: str) -> list[str]:
    """Lower-cases, normalises punctuation and tokenises each line; tokens are separated by single spaces."""
    from sacremoses import MosesPunctNormalizer

    normalizer = MosesPunctNormalizer(lang=language, perl_parity=True)
    lower = [normalizer.normalize(line.lower()) for line in lines]
    return list(map(metric(language).tokenizer, lower)) if language in TOKENIZERS else _moses(lower, language)


def _moses(lines: Iterable[str], language: str) -> list[str]:
    from sacremoses import MosesTokenizer

    tokenizer = MosesTokenizer(lang=language)
    return [" ".join(map(str, tokenizer.tokenize(line, escape=False))) for line in lines]


def unsmoothed() -> Any:
    """Returns the metric of multi-bleu.perl, which scores tokenised text."""
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize="none", smooth_method="none", force=True)


def _rules(language: str) -> str:
    """Returns the name of Moses's rules for a language: "moses-de", or "moses-other" without any."""
    from sacremoses.corpus import NonbreakingPrefixes

    return f"moses-{language if language in NonbreakingPrefixes().available_langs else 'other'}"


def _paper_signature(language: str, references: int) -> str:
    normalization = f"moses-{language if language in _NORMALIZED else 'other'}"
    tokens = str(metric(language).tokenizer.signature()) if language in TOKENIZERS else _rules(language)
    return _versions(f"nrefs:{references}|case:lc|eff:no|norm:{normalization}|tok:{tokens}|smooth:none")


def _versions(items: str) -> str:
    version = {name: importlib.metadata.version(name) for name in ("sacremoses", "sacrebleu")}
    return f"{items}|sacremoses:{version['sacremoses']}|version:{version['sacrebleu']}"


def check_references(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Raises ValueError unless there are hypotheses, and each list has as many references."""
    for lines in references:
        if len(hypotheses) != len(lines):
            raise ValueError(f"{len(hypotheses)} hypotheses cannot be scored against {len(lines)} references")
    if not hypotheses:
        raise ValueError("nothing to score: there are no hypotheses and no references")
