"""Corpus scores of translations: BLEU and chrF by sacreBLEU, and the BLEU of the Multi30k papers.

Two scores are called BLEU, and they differ by several points on the same translations. So they have two names:

`bleu`
    sacreBLEU's default (Post 2018): case-sensitive, raw text against raw text, tokenised by its "13a", exponential
    smoothing. Its `signature` specifies all of this; only scores with equal signatures may be compared.

`bleu_paper`
    the score in papers about Multi30k, which score lower-cased and tokenised text. Hypotheses and references pass
    through the steps of the data set's `task1-tokenize.sh` ("lc.norm.tok"): lower-case, then normalise punctuation,
    then Moses-tokenise, the last two for the target language. The result is scored without further tokenisation and
    without smoothing, like `multi-bleu.perl`. Moses's XML escapes (&apos; for ') are disabled: they rename tokens on
    both sides equally and change no count. The quirks of the Perl scripts are kept (the ’ of d’œil becomes a quotation
    mark, because œ is not a letter for them): with escapes, the French training, validation and 2016 test files and
    the English 2016 test file have exactly the lengths of the data set's own tokenised files.

Never compare the two. The published WMT scores of Vaswani et al. 2017 are of a third kind (tokenised, case-sensitive,
compounds split); `bleu` is slightly lower than it.
"""

import importlib.metadata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


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
      language: two-letter code of the target language; only `bleu_paper` depends on it.
      others: further lists of references, each with one per hypothesis.
      labels: further items of the signatures, such as "test".

    Raises:
      ValueError: there are no hypotheses, or not as many references.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    every = [references, *others]
    check_references(hypotheses, every)
    metrics = {"bleu": BLEU(), "chrf": CHRF()}
    values = {name: metric.corpus_score(hypotheses, every).score for name, metric in metrics.items()}
    return CorpusScores(
        bleu=values["bleu"],
        chrf=values["chrf"],
        bleu_paper=paper_bleu(hypotheses, references, language, others),
        signature=signature(metrics["bleu"], labels),
        chrf_signature=signature(metrics["chrf"], labels),
        bleu_paper_signature=_paper_signature(language, len(every)),
        sentences=len(references),
    )


def signature(metric: Any, labels: Mapping[str, str] | None = None) -> str:
    """Returns the signature of a sacreBLEU metric that has computed a score, with further items, such as "test"."""
    result = metric.get_signature()
    for name, value in (labels or {}).items():
        result.update(name, value)
    return str(result)


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Computes only `CorpusScores.bleu`, for validation during training; raises ValueError like `score`."""
    from sacrebleu.metrics.bleu import BLEU

    check_references(hypotheses, [references])
    return BLEU().corpus_score(hypotheses, [references]).score


def paper_bleu(
    hypotheses: Sequence[str], references: Sequence[str], language: str, others: Sequence[Sequence[str]] = ()
) -> float:
    """Computes only `CorpusScores.bleu_paper`; raises ValueError like `score`."""
    from sacrebleu.metrics.bleu import BLEU

    check_references(hypotheses, [references, *others])
    metric = BLEU(tokenize="none", smooth_method="none", force=True)
    every = [paper_tokens(lines, language) for lines in (references, *others)]
    return metric.corpus_score(paper_tokens(hypotheses, language), every).score


def paper_tokens(lines: Iterable[str], language: str) -> list[str]:
    """Lower-cases, normalises punctuation and Moses-tokenises each line; tokens are separated by single spaces."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer, tokenizer = MosesPunctNormalizer(lang=language, perl_parity=True), MosesTokenizer(lang=language)
    lower = (normalizer.normalize(line.lower()) for line in lines)
    return [" ".join(map(str, tokenizer.tokenize(line, escape=False))) for line in lower]


def _paper_signature(language: str, references: int) -> str:
    version = {name: importlib.metadata.version(name) for name in ("sacremoses", "sacrebleu")}
    return (
        f"nrefs:{references}|case:lc|eff:no|norm:moses-{language}|tok:moses-{language}|smooth:none"
        f"|sacremoses:{version['sacremoses']}|version:{version['sacrebleu']}"
    )


def check_references(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Raises ValueError unless there are hypotheses, and each list has as many references."""
    for lines in references:
        if len(hypotheses) != len(lines):
            raise ValueError(f"{len(hypotheses)} hypotheses cannot be scored against {len(lines)} references")
    if not hypotheses:
        raise ValueError("nothing to score: there are no hypotheses and no references")
