"""Every kind of fault that the doctor knows: name, severity, message, remedy, and the function that finds it.

There are seven tables, by the argument of the checks: the head of a file, its bytes, the lines of one side, one side of
pairs, pairs, a split, and two splits.
"""

from functools import partial

from transformer.data.doctor import agreement_checks as agreement
from transformer.data.doctor import character_checks as chars
from transformer.data.doctor import duplicate_checks, file_checks, pair_checks, split_checks, word_checks
from transformer.data.doctor.findings import ERROR, WARNING, CorpusCheck

# Kinds that unrelated sides have.
_DISAGREEING = (
    "length-ratio",
    "half-translation",
    "numbers",
    "placeholders",
    "end-punctuation",
    "brackets",
    "capitals",
)
_LANGUAGE_KINDS = ("copy", "near-copy", "swapped-pair", "wrong-language", "mixed-languages", "lost-accents")
_PAIR_KINDS = (*_LANGUAGE_KINDS, *_DISAGREEING, "overlong")
_REPEATED = ("duplicate", "many-targets", "many-sources")
_UNREADABLE = ("line-counts", *_PAIR_KINDS, *_REPEATED)
_DOWNLOAD = "download or copy the file again"

# find(FileHead) → a detail, or "" if the file is not faulty
HEADS = (
    CorpusCheck("missing-file", ERROR, "cannot be read", "correct data.path, or create the file", file_checks.missing,
                supersedes=_UNREADABLE),
    CorpusCheck("not-a-file", ERROR, "not a file", "data.path must name a file for each split and language",
                file_checks.not_a_file, supersedes=_UNREADABLE),
    CorpusCheck("unreadable-file", ERROR, "cannot be read", "change the file's permissions", file_checks.unreadable,
                supersedes=_UNREADABLE),
    CorpusCheck("empty-file", ERROR, "empty file", _DOWNLOAD, file_checks.empty, supersedes=_UNREADABLE),
    CorpusCheck("other-archive", ERROR, "compressed in another format than gzip",
                "decompress the file, or add .bz2, .xz or .zst to its name", file_checks.other_archive,
                supersedes=_UNREADABLE),
    CorpusCheck("not-gzip", ERROR, "named .gz, but not a gzip file", "remove .gz from the name",
                file_checks.misnamed_gzip, fix="text"),
    CorpusCheck("misnamed-archive", ERROR, "not compressed as its name says", "correct its name",
                file_checks.misnamed_archive),
    CorpusCheck("wide-encoding", ERROR, "not UTF-8", "convert the file: iconv -t UTF-8", file_checks.wide_encoding,
                fix="text"),
    CorpusCheck("gzip-without-name", WARNING, "a gzip file without .gz in its name",
                "add .gz to the name: other tools may not decompress the file", file_checks.unnamed_gzip, fix="text"),
)  # fmt: skip

# find(RawBlock) → (line, excerpt) ...
BYTES = (
    CorpusCheck("truncated-gzip", ERROR, "truncated or damaged compressed file", _DOWNLOAD, file_checks.damaged_gzip,
                single=True, supersedes=_UNREADABLE),
    CorpusCheck("invalid-utf-8", ERROR, "lines that are not UTF-8",
                "convert the file from its encoding, most often iconv -f WINDOWS-1252 -t UTF-8", file_checks.not_utf8,
                fix="text"),
    CorpusCheck("carriage-returns-alone", ERROR, "lines end with CR only, so that the file is a single line",
                r"convert the file: tr '\r' '\n'", file_checks.carriage_return_only, single=True,
                supersedes=("carriage-return", "enormous-line")),
    CorpusCheck("byte-order-mark", WARNING, "byte order mark at the start", "none needed: reading ignores it",
                file_checks.byte_order_mark, fix="text", single=True),
    CorpusCheck("crlf", WARNING, "lines that end with CR LF", "none needed: reading ignores the CR", file_checks.crlf,
                fix="text"),
    CorpusCheck("no-final-newline", WARNING, "last line without a line end", "check that nothing is missing after it",
                file_checks.no_final_line_feed, fix="text", single=True),
)  # fmt: skip


def _line(
    name: str, message: str, remedy: str, find: chars.LineFinder, fix: str = "text", fast: bool = True
) -> CorpusCheck:
    return CorpusCheck(name, WARNING, message, remedy, find, fast, fix)


_INSPECT = "inspect them"
_BREAKS = "replace it: other tools break lines there"

# find(LineBlock) → (line, column) ...
LINES = (
    _line("empty-line", "empty lines", "check that both sides are still aligned around them", chars.empty, "pair"),
    _line("blank-line", "lines of white space only", "check that both sides are still aligned around them", chars.blank,
          "pair"),
    _line("wordless-line", "lines without a letter or a digit", _INSPECT, chars.wordless, "pair"),
    _line("line-break", "lines with a line feed inside", "replace it by a space: a line must be one sentence",
          chars.line_break),
    _line("edge-space", "lines that start or end with white space", "remove it", chars.edge_space, fast=False),
    _line("double-space", "lines with consecutive spaces", "replace them by one space", chars.double_space, fast=False),
    _line("tab", "lines with a tab", "check that it does not separate the columns of a table", chars.tab),
    _line("odd-space", "lines with spaces of unusual width", "replace them by plain spaces",
          chars.find_any_of(chars.ODD_SPACE), fast=False),
    _line("nul", "lines with NUL", f"{_DOWNLOAD}: text contains no NUL", chars.find_any_of(chars.NUL)),
    _line("carriage-return", "lines with CR inside", _BREAKS, chars.find_any_of(chars.CARRIAGE_RETURN)),
    _line("line-separator", "lines with U+2028 or another line separator", _BREAKS, chars.find_any_of(chars.SEPARATOR)),
    _line("control-character", "lines with control characters", "delete them", chars.find_any_of(chars.CONTROL)),
    _line("invisible-character", "lines with zero-width characters", "delete them: they split words for the tokenizer",
          chars.find_any_of(chars.INVISIBLE)),
    _line("private-character", "lines with private-use characters or noncharacters",
          "find out which characters they stand for", chars.find_any_of(chars.PRIVATE), "pair"),
    _line("replacement-character", "lines with U+FFFD, which replaces a lost character",
          "convert the original file again", chars.find_any_of(chars.REPLACEMENT), "pair"),
    _line("mojibake", "lines with UTF-8 that was decoded as Windows-1252", "decode the original file as UTF-8",
          chars.mojibake),
    _line("not-composed", "lines that are not in Unicode normal form C",
          "normalise them (NFC): the tokenizer treats the two forms of a word as two words", chars.not_composed),
    _line("html-entity", "lines with HTML entities", "replace them by their characters", chars.entity),
    _line("markup", "lines with HTML or XML tags", "remove the tags", chars.tag),
    _line("mixed-scripts", "lines with letters of two alphabets in a word", "replace the letters by their look-alikes",
          word_checks.mixed_scripts, fast=False),
    _line("segmented", "lines of subwords instead of words", "join them: the tokenizer expects text (sed 's/@@ //g')",
          word_checks.segmented, "", fast=False),
    _line("tokenised", "lines with spaces before full stops and commas", "detokenise them, e.g. with sacremoses: the "
          "tokenizer expects text", word_checks.tokenised, "", fast=False),
    _line("spaced-out", "lines with words with spaces between their letters", _INSPECT, word_checks.spaced_out, "pair",
          False),
    _line("repetition", "lines that repeat a character or a few words", _INSPECT, chars.repetition, "pair"),
)  # fmt: skip

# find(PairBlock, side) → line ...
SIDES = (
    CorpusCheck("wrong-language", WARNING, "lines in another language", _INSPECT, pair_checks.wrong_language, True,
                "pair"),
    CorpusCheck("mixed-languages", WARNING, "lines with a part in the language of the other side", _INSPECT,
                pair_checks.mixed_languages, fix="pair"),
    CorpusCheck("glued-words", WARNING, "lines with words without a space between them", _INSPECT, word_checks.glued,
                fix="pair"),
    CorpusCheck("lost-accents", WARNING, "lines whose accented letters are lost", "convert the original file again",
                word_checks.lost_accents, fix="pair"),
    CorpusCheck("capitals", WARNING, "lines in capitals whose translation is not", _INSPECT, agreement.capitals),
    CorpusCheck("brackets", WARNING, "lines with unbalanced brackets, unlike their translation", _INSPECT,
                agreement.brackets),
)  # fmt: skip

# find(PairBlock) → pair ...
PAIRS = (
    CorpusCheck("copy", WARNING, "targets that are copies of their source", "remove them: they train copying",
                pair_checks.copies, True, "pair"),
    CorpusCheck("near-copy", WARNING, "targets that are nearly copies of their source",
                "remove them: they train copying", pair_checks.near_copies, fix="pair"),
    CorpusCheck("swapped-pair", WARNING, "pairs with each side in the other's language", "swap their sides",
                pair_checks.swapped_languages, True, "pair"),
    CorpusCheck("length-ratio", WARNING, "pairs with one side several times as long as the other",
                "inspect them: a translation is about as long as its source", pair_checks.length_ratio, True, "pair"),
    CorpusCheck("half-translation", WARNING, "pairs with one side about half as long as its translation", _INSPECT,
                pair_checks.half_translations, fix="pair"),
    CorpusCheck("numbers", WARNING, "pairs with different numbers", _INSPECT, agreement.numbers, fix="pair"),
    CorpusCheck("placeholders", WARNING, "pairs with different placeholders", "correct them: the model learns them",
                agreement.placeholders, fix="pair"),
    CorpusCheck("end-punctuation", WARNING, "pairs whose sides end with different punctuation", _INSPECT,
                agreement.end_punctuation),
    CorpusCheck("enormous-line", WARNING, "pairs with a side too long for a sentence", "check for a missing line end",
                pair_checks.enormous, True, "pair"),
    CorpusCheck("overlong", WARNING, "pairs with more words than the tokens of data.max_length",
                "training skips them, and other pairs with too many tokens; increase data.max_length to keep them",
                pair_checks.overlong),
)  # fmt: skip

_BOILERPLATE = "inspect them: they are usually boilerplate"
_INTERPRET = "consider this when you interpret scores"

# find(SplitFeatures, limit) → Occurrences ...
SPLITS = (
    CorpusCheck("line-counts", ERROR, "the sides differ in their number of lines",
                "line i of one must translate line i of the other: find the missing line, or download both files again",
                split_checks.line_counts, supersedes=(*_PAIR_KINDS, *_REPEATED)),
    CorpusCheck("same-text", ERROR, "source and target are the same text", "check which files these are",
                split_checks.same_text, True,
                supersedes=(*_LANGUAGE_KINDS, "wrong-language-throughout", "unrelated")),
    CorpusCheck("swapped", ERROR, "each side is in the other's language", "swap the files, or change data.direction",
                split_checks.swapped_sides, True,
                supersedes=(*_LANGUAGE_KINDS, "wrong-language-throughout")),
    CorpusCheck("wrong-language-throughout", ERROR, "not in the configured language", "check which file this is",
                split_checks.wrong_language_throughout, True,
                supersedes=(*_LANGUAGE_KINDS, *_DISAGREEING)),
    CorpusCheck("shifted", ERROR, "the line alignment is shifted",
                "find the missing or additional line at this place, or download both sides again",
                partial(split_checks.misaligned, are_shifted=True, large=True), True, supersedes=_DISAGREEING),
    CorpusCheck("unrelated", ERROR, "the line alignment is lost",
                "check which files these are, and whether one was sorted or shuffled",
                partial(split_checks.misaligned, are_shifted=False, large=True), True, supersedes=_DISAGREEING),
    CorpusCheck("shifted-passage", WARNING, "the line alignment is shifted in a passage",
                "find the missing line and the additional line",
                partial(split_checks.misaligned, are_shifted=True, large=False), True),
    CorpusCheck("unrelated-passage", WARNING, "the line alignment is lost in a passage", _INSPECT,
                partial(split_checks.misaligned, are_shifted=False, large=False), True),
    CorpusCheck("duplicate", WARNING, "duplicate pairs", "remove them, unless they should count more than other pairs",
                duplicate_checks.duplicates, fix="pair"),
    CorpusCheck("many-targets", WARNING, "sources with many targets", _BOILERPLATE,
                partial(duplicate_checks.many_translations, side=0)),
    CorpusCheck("many-sources", WARNING, "targets with many sources", _BOILERPLATE,
                partial(duplicate_checks.many_translations, side=1)),
)  # fmt: skip

# find(SplitFeatures, held-out SplitFeatures, limit) → Occurrences ...
OVERLAPS = (
    CorpusCheck("same-split", ERROR, "most pairs are also in another split",
                "check which files these are: a score on training data is meaningless", duplicate_checks.same_split,
                True, supersedes=("source-overlap", "target-overlap")),
    CorpusCheck("overlap", WARNING, "pairs that are also in another split", "remove them from the training split",
                duplicate_checks.overlap, True, "pair"),
    CorpusCheck("source-overlap", WARNING, "sources that are in another split with another target", _INTERPRET,
                partial(duplicate_checks.side_overlap, side=0)),
    CorpusCheck("target-overlap", WARNING, "targets that are in another split with another source", _INTERPRET,
                partial(duplicate_checks.side_overlap, side=1)),
)  # fmt: skip

TABLES = (*HEADS, *BYTES, *LINES, *SIDES, *PAIRS, *SPLITS, *OVERLAPS)
