"""Corpus scores of translations: BLEU and chrF by sacreBLEU, and beside them the BLEU of the Multi30k papers.

Two numbers are called BLEU, and they differ by several points on the same translations. So they have two names here:

`bleu`
    sacreBLEU's own (Post 2018): case-sensitive, of raw text against raw text, tokenised by its "13a", smoothed
    exponentially. Its `signature` says all of that; only numbers of equal signature may be compared.

`bleu_paper`
    the number in papers about Multi30k, which score lower-cased and tokenised text. Hypotheses and references alike
    pass through what the data set's `task1-tokenize.sh` does ("lc.norm.tok"): lower-case, then normalise punctuation,
    then Moses-tokenise, the last two for the target language. What comes out is scored as it stands, token by token
    between spaces and without smoothing, as `multi-bleu.perl` does. Moses's XML escapes (&apos; for ') are left out:
    they rename tokens on both sides alike and change no count. The oddities of the Perl scripts are kept (the ’ of
    d’œil becomes a quotation mark, because œ is no letter to them): with escapes, the French training, validation and
    2016 test files and the English 2016 test file come out exactly as long as the data set's own tokenised files.

Never compare the one with the other. The published WMT numbers of Vaswani et al. 2017 are of a third kind (tokenised,
case-sensitive, compounds split); `bleu` stands a little below it.
"""

import importlib.metadata
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Scores(NamedTuple):
    """Corpus scores, each between 0 and 100 and higher where better, with what they are scores of."""

    bleu: float  # sacreBLEU, raw text
    chrf: float  # sacreBLEU's chrF2, raw text
    bleu_paper: float  # lower-cased, normalised, Moses-tokenised text; not comparable with `bleu`
    signature: str  # of `bleu`
    chrf_signature: str
    bleu_paper_signature: str
    sentences: int

    def to_dict(self) -> dict[str, Any]:
        """Field name to value, ready for JSON."""
        return self._asdict()


def score(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Scores:
    """Scores translations against one reference each.

    Args:
      hypotheses: detokenised translations.
      references: the raw reference text: never lower-cased, never through a tokenizer and back.
      language: two-letter code of the target language; only `bleu_paper` depends on it.

    Raises:
      ValueError: if there are none, or not as many hypotheses as references.
    """
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF

    _check(hypotheses, references)
    metrics = {"bleu": BLEU(), "chrf": CHRF()}
    values = {name: metric.corpus_score(hypotheses, [references]).score for name, metric in metrics.items()}
    return Scores(
        bleu=values["bleu"],
        chrf=values["chrf"],
        bleu_paper=paper_bleu(hypotheses, references, language),
        signature=str(metrics["bleu"].get_signature()),
        chrf_signature=str(metrics["chrf"].get_signature()),
        bleu_paper_signature=_paper_signature(language),
        sentences=len(references),
    )


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """`Scores.bleu` alone, for validation during training; raises ValueError as `score` does."""
    from sacrebleu.metrics.bleu import BLEU

    _check(hypotheses, references)
    return BLEU().corpus_score(hypotheses, [references]).score


def paper_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str) -> float:
    """`Scores.bleu_paper` alone; raises ValueError as `score` does."""
    from sacrebleu.metrics.bleu import BLEU

    _check(hypotheses, references)
    metric = BLEU(tokenize="none", smooth_method="none", force=True)
    return metric.corpus_score(paper_tokens(hypotheses, language), [paper_tokens(references, language)]).score


def paper_tokens(lines: Iterable[str], language: str) -> list[str]:
    """Each line lower-cased, its punctuation normalised, Moses-tokenised; tokens stand between single spaces."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    normalizer, tokenizer = MosesPunctNormalizer(lang=language, perl_parity=True), MosesTokenizer(lang=language)
    lower = (normalizer.normalize(line.lower()) for line in lines)
    return [" ".join(map(str, tokenizer.tokenize(line, escape=False))) for line in lower]


def _paper_signature(language: str) -> str:
    version = {name: importlib.metadata.version(name) for name in ("sacremoses", "sacrebleu")}
    return (
        f"nrefs:1|case:lc|eff:no|norm:moses-{language}|tok:moses-{language}|smooth:none"
        f"|sacremoses:{version['sacremoses']}|version:{version['sacrebleu']}"
    )


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise ValueError(f"{len(hypotheses)} hypotheses cannot be scored against {len(references)} references")
    if not references:
        raise ValueError("no hypotheses and no references: there is nothing to score")
