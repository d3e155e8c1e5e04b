"""Every kind of fault the doctor knows: its name, how bad it is, what it means, what to do, and who finds it.

Seven tables, by what is looked at: a file before its lines are read, its bytes, the lines of a side, the lines of a
side beside those of the other, pairs, a whole split, two splits.
"""

from transformer.data.doctor import character_checks, duplicate_checks, file_checks, pair_checks, split_checks
from transformer.data.doctor.findings import ERROR, WARNING, Check

_OF_PAIRS = ("wrong-language", "copy", "swapped-pair", "length-ratio", "overlong")
_REPEATS = ("duplicate", "many-targets", "many-sources")
_UNREAD = ("line-counts", *_OF_PAIRS, *_REPEATS)
_AGAIN = "get the file again from where it came"

# find(Head) → what is wrong, or "".
HEADS = (
    Check("missing-file", ERROR, "cannot be read", "correct data.path, or put the file there", file_checks.missing,
          explains=_UNREAD),
    Check("not-a-file", ERROR, "not a file", "data.path must name a file for each split and language",
          file_checks.not_a_file, explains=_UNREAD),
    Check("unreadable-file", ERROR, "cannot be read", "change the file's permissions", file_checks.unreadable,
          explains=_UNREAD),
    Check("empty-file", ERROR, "empty file", _AGAIN, file_checks.empty, explains=_UNREAD),
    Check("other-archive", ERROR, "compressed, and not by gzip", "decompress it, or compress it with gzip",
          file_checks.other_archive, explains=_UNREAD),
    Check("not-gzip", ERROR, "called .gz, but no gzip file", "take .gz from its name", file_checks.only_named_gzip,
          mends="text"),
    Check("wide-encoding", ERROR, "not UTF-8", "convert it: iconv -t UTF-8", file_checks.wide_encoding, mends="text"),
    Check("gzip-without-name", WARNING, "a gzip file without .gz in its name", "it is read; other tools may not do so",
          file_checks.gzip_without_name, mends="text"),
)  # fmt: skip

# find(Raw) → (line, excerpt) ...
BYTES = (
    Check("truncated-gzip", ERROR, "gzip file that is cut off or damaged", _AGAIN, file_checks.damaged_gzip, once=True,
          explains=_UNREAD),
    Check("invalid-utf-8", ERROR, "lines that are not UTF-8",
          "convert the file from what it is in, most often iconv -f WINDOWS-1252 -t UTF-8", file_checks.not_utf8,
          mends="text"),
    Check("carriage-returns-alone", ERROR, "lines end with CR alone, so that all of them are one", "convert it: tr "
          r"'\r' '\n'", file_checks.carriage_returns_alone, once=True, explains=("carriage-return", "enormous-line")),
    Check("byte-order-mark", WARNING, "byte order mark at the start", "it is left out as the file is read",
          file_checks.byte_order_mark, mends="text", once=True),
    Check("crlf", WARNING, "lines that end with CR LF", "CR is left out as the file is read",
          file_checks.carriage_return_line_feed, mends="text"),
    Check("no-final-newline", WARNING, "last line without its end", "see that nothing is missing after it",
          file_checks.no_final_line_feed, mends="text", once=True),
)  # fmt: skip


def _line(
    name: str, meaning: str, remedy: str, find: character_checks.Finder, mends: str = "text", fast: bool = True
) -> Check:
    return Check(name, WARNING, meaning, remedy, find, fast, mends)


_ELSEWHERE = "other tools break lines there"

# find(Lines) → (line, column) ...
LINES = (
    _line("empty-line", "empty lines", "see that both sides still pair around them", character_checks.empty, "pair"),
    _line("blank-line", "lines of white space alone", "as for empty lines", character_checks.blank, "pair"),
    _line("wordless-line", "lines without a letter or a digit", "look at them", character_checks.wordless, "pair"),
    _line("line-break", "lines with a line feed inside", "make it a space: a line must be a sentence",
          character_checks.line_break),
    _line("edge-space", "lines with white space at an end", "strip them", character_checks.edge_space, fast=False),
    _line("double-space", "lines with several spaces in a row", "make them one", character_checks.double_space, fast=False),
    _line("tab", "lines with a tab", "see that it does not part the columns of a table", character_checks.tab),
    _line("odd-space", "lines with spaces of unusual width", "make them plain spaces",
          character_checks.of_class(character_checks.ODD_SPACE), fast=False),
    _line("nul", "lines with NUL", f"{_AGAIN}: text has none", character_checks.of_class(character_checks.NUL)),
    _line("carriage-return", "lines with CR inside", _ELSEWHERE, character_checks.of_class(character_checks.CARRIAGE_RETURN)),
    _line("line-separator", "lines with U+2028 or another separator", _ELSEWHERE,
          character_checks.of_class(character_checks.SEPARATOR)),
    _line("control-character", "lines with control characters", "delete them", character_checks.of_class(character_checks.CONTROL)),
    _line("invisible-character", "lines with characters of no width", "delete them: they part words for the tokenizer",
          character_checks.of_class(character_checks.INVISIBLE)),
    _line("private-character", "lines with characters without a meaning", "find out what they stood for",
          character_checks.of_class(character_checks.PRIVATE), "pair"),
    _line("replacement-character", "lines with U+FFFD, where a character was lost", "convert the original anew",
          character_checks.of_class(character_checks.REPLACEMENT), "pair"),
    _line("mojibake", "lines with UTF-8 that was read as Windows-1252", "decode the original as UTF-8",
          character_checks.mojibake),
    _line("not-composed", "lines that are not in Unicode's normal form C", "compose them: the tokenizer takes the two "
          "forms of a word for two words", character_checks.not_composed),
    _line("html-entity", "lines with entities of HTML", "put the characters there", character_checks.entity),
    _line("markup", "lines with tags", "take the tags out", character_checks.tag),
    _line("repetition", "lines of the same over and over", "look at them", character_checks.repetition, "pair"),
)  # fmt: skip

# find(Block, side) → line ...
SIDES = (
    Check("wrong-language", WARNING, "lines in another language", "look at them", pair_checks.wrong_language, True,
          "pair"),
)  # fmt: skip

# find(Block) → pair ...
PAIRS = (
    Check("copy", WARNING, "targets that are their source", "leave them out: they teach to copy", pair_checks.copies, True,
          "pair"),
    Check("swapped-pair", WARNING, "pairs with each side in the other's language", "exchange their sides",
          pair_checks.exchanged, True, "pair"),
    Check("length-ratio", WARNING, "pairs with one side several times as long", "look at them: a translation is as "
          "long as its source", pair_checks.unlike_lengths, True, "pair"),
    Check("enormous-line", WARNING, "pairs with a side too long for a sentence", "a line end may be missing",
          pair_checks.enormous, True, "pair"),
    Check("overlong", WARNING, "pairs with more words than data.max_length has tokens", "training leaves them out, and "
          "those whose words make as many tokens; a greater data.max_length keeps them", pair_checks.too_long_to_train_on),
)  # fmt: skip

_BOILERPLATE = "look at them: most often they are boilerplate"

# find(Split, places) → Hits ...
SPLITS = (
    Check("line-counts", ERROR, "the sides differ in length", "line i of one must translate line i of the other: find "
          "the line that one of them lacks, or get both again", split_checks.line_counts, explains=(*_OF_PAIRS, *_REPEATS)),
    Check("same-text", ERROR, "source and target are one text", "see which files these are", split_checks.same_text, True,
          explains=("copy", "wrong-language", "wrong-language-throughout", "unrelated")),
    Check("swapped", ERROR, "each side is in the other's language", "exchange the files, or change data.direction",
          split_checks.swapped, True, explains=("swapped-pair", "wrong-language", "wrong-language-throughout")),
    Check("wrong-language-throughout", ERROR, "not in its language", "see which file this is",
          split_checks.wrong_language_throughout, True, explains=("wrong-language",)),
    Check("shifted", ERROR, "the pairing is shifted",
          "find the line that is missing or too much there, or get both sides again", split_checks.shifted, True,
          explains=("length-ratio",)),
    Check("unrelated", ERROR, "the pairing is lost",
          "see which files these are, and whether one was sorted or shuffled", split_checks.unrelated, True,
          explains=("length-ratio",)),
    Check("shifted-passage", WARNING, "the pairing is shifted in a passage",
          "find the line that is missing there, and the one that is too much", split_checks.shifted_passage, True),
    Check("unrelated-passage", WARNING, "the pairing is lost in a passage", "look at them",
          split_checks.unrelated_passage, True),
    Check("duplicate", WARNING, "pairs that occurred before", "they count for more than others", duplicate_checks.duplicates,
          mends="pair"),
    Check("many-targets", WARNING, "sources with many targets", _BOILERPLATE, duplicate_checks.many_targets),
    Check("many-sources", WARNING, "targets with many sources", _BOILERPLATE, duplicate_checks.many_sources),
)  # fmt: skip

# find(Split, held-out Split, places) → Hits ...
OVERLAPS = (
    Check("same-split", ERROR, "most pairs are another split's", "see which files these are: a score on what was "
          "trained on says nothing", duplicate_checks.same_split, True, explains=("source-overlap", "target-overlap")),
    Check("overlap", WARNING, "pairs that another split has", "take them out of the training split", duplicate_checks.overlap,
          True, "pair"),
    Check("source-overlap", WARNING, "sources that another split has, with another target", "remember it when you "
          "read a score", duplicate_checks.source_overlap),
    Check("target-overlap", WARNING, "targets that another split has, with another source", "remember it when you "
          "read a score", duplicate_checks.target_overlap),
)  # fmt: skip

TABLES = (*HEADS, *BYTES, *LINES, *SIDES, *PAIRS, *SPLITS, *OVERLAPS)
