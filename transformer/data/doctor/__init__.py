"""The corpus doctor: finds faults that would degrade training or invalidate its scores, and reports their locations.

`checks.py` lists every kind of fault. `CorpusExaminer` runs all checks over a corpus in blocks of a few thousand lines,
and keeps features of the lines instead of the lines: about 45 bytes a pair. `check_at_start` runs the fast checks when
a training starts. `repair.py` writes repaired copies.

Measured on one core of a shared AMD EPYC (Milan) virtual machine: 32,000 pairs/s of the generated corpus, 24,000 of
Multi30k and 16,000 of longer technical text. A third of the time goes to the language classifier, which classifies a
smaller share of larger corpora. `check_at_start` takes 0.3 to 0.5 s for 50,000 pairs.
`python -m experiments.benchmark.doctor` measures recall and precision.
"""

from transformer.data.doctor.examine import CorpusExaminer, check_at_start, fast_findings
from transformer.data.doctor.findings import ERROR, WARNING, Finding

__all__ = ["ERROR", "WARNING", "CorpusExaminer", "Finding", "check_at_start", "fast_findings"]
