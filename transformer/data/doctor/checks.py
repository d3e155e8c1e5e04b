"""Every kind of fault the doctor knows: its name, how bad it is, what it means, what to do, and who finds it.

Seven tables, by what is looked at: a file before its lines are read, its bytes, the lines of a side, the lines of a
side beside those of the other, pairs, a whole split, two splits.
"""

from transformer.data.doctor import characters, files, pairs, repeats, whole
from transformer.data.doctor.findings import ERROR, WARNING, Check

_OF_PAIRS = ("wrong-language", "copy", "swapped-pair", "length-ratio", "overlong")
_REPEATS = ("duplicate", "many-targets", "many-sources")
_UNREAD = ("line-counts", *_OF_PAIRS, *_REPEATS)
_AGAIN = "get the file again from where it came"

# find(Head) → what is wrong, or "".
HEADS = (
    Check("missing-file", ERROR, "cannot be read", "correct data.path, or put the file there", files.missing,
          explains=_UNREAD),
    Check("not-a-file", ERROR, "not a file", "data.path must name a file for each split and language",
          files.not_a_file, explains=_UNREAD),
    Check("unreadable-file", ERROR, "cannot be read", "change the file's permissions", files.unreadable,
          explains=_UNREAD),
    Check("empty-file", ERROR, "empty file", _AGAIN, files.empty, explains=_UNREAD),
    Check("other-archive", ERROR, "compressed, and not by gzip", "decompress it, or compress it with gzip",
          files.other_archive, explains=_UNREAD),
    Check("not-gzip", ERROR, "called .gz, but no gzip file", "take .gz from its name", files.only_named_gzip,
          mends="text"),
    Check("wide-encoding", ERROR, "not UTF-8", "convert it: iconv -t UTF-8", files.wide_encoding, mends="text"),
    Check("gzip-without-name", WARNING, "a gzip file without .gz in its name", "it is read; other tools may not do so",
          files.gzip_without_name, mends="text"),
)  # fmt: skip

# find(Raw) → (line, excerpt) ...
BYTES = (
    Check("truncated-gzip", ERROR, "gzip file that is cut off or damaged", _AGAIN, files.damaged_gzip, once=True,
          explains=_UNREAD),
    Check("invalid-utf-8", ERROR, "lines that are not UTF-8",
          "convert the file from what it is in, most often iconv -f WINDOWS-1252 -t UTF-8", files.not_utf8,
          mends="text"),
    Check("carriage-returns-alone", ERROR, "lines end with CR alone, so that all of them are one", "convert it: tr "
          r"'\r' '\n'", files.carriage_returns_alone, once=True, explains=("carriage-return", "enormous-line")),
    Check("byte-order-mark", WARNING, "byte order mark at the start", "it is left out as the file is read",
          files.byte_order_mark, mends="text", once=True),
    Check("crlf", WARNING, "lines that end with CR LF", "CR is left out as the file is read",
          files.carriage_return_line_feed, mends="text"),
    Check("no-final-newline", WARNING, "last line without its end", "see that nothing is missing after it",
          files.no_final_line_feed, mends="text", once=True),
)  # fmt: skip


def _line(
    name: str, meaning: str, remedy: str, find: characters.Finder, mends: str = "text", fast: bool = True
) -> Check:
    return Check(name, WARNING, meaning, remedy, find, fast, mends)


_ELSEWHERE = "other tools break lines there"

# find(Lines) → (line, column) ...
LINES = (
    _line("empty-line", "empty lines", "see that both sides still pair around them", characters.empty, "pair"),
    _line("blank-line", "lines of white space alone", "as for empty lines", characters.blank, "pair"),
    _line("wordless-line", "lines without a letter or a digit", "look at them", characters.wordless, "pair"),
    _line("line-break", "lines with a line feed inside", "make it a space: a line must be a sentence",
          characters.line_break),
    _line("edge-space", "lines with white space at an end", "strip them", characters.edge_space, fast=False),
    _line("double-space", "lines with several spaces in a row", "make them one", characters.double_space, fast=False),
    _line("tab", "lines with a tab", "see that it does not part the columns of a table", characters.tab),
    _line("odd-space", "lines with spaces of unusual width", "make them plain spaces",
          characters.of_class(characters.ODD_SPACE), fast=False),
    _line("nul", "lines with NUL", f"{_AGAIN}: text has none", characters.of_class(characters.NUL)),
    _line("carriage-return", "lines with CR inside", _ELSEWHERE, characters.of_class(characters.CARRIAGE_RETURN)),
    _line("line-separator", "lines with U+2028 or another separator", _ELSEWHERE,
          characters.of_class(characters.SEPARATOR)),
    _line("control-character", "lines with control characters", "delete them", characters.of_class(characters.CONTROL)),
    _line("invisible-character", "lines with characters of no width", "delete them: they part words for the tokenizer",
          characters.of_class(characters.INVISIBLE)),
    _line("private-character", "lines with characters without a meaning", "find out what they stood for",
          characters.of_class(characters.PRIVATE), "pair"),
    _line("replacement-character", "lines with U+FFFD, where a character was lost", "convert the original anew",
          characters.of_class(characters.REPLACEMENT), "pair"),
    _line("mojibake", "lines with UTF-8 that was read as Windows-1252", "decode the original as UTF-8",
          characters.mojibake),
    _line("not-composed", "lines that are not in Unicode's normal form C", "compose them: the tokenizer takes the two "
          "forms of a word for two words", characters.not_composed),
    _line("html-entity", "lines with entities of HTML", "put the characters there", characters.entity),
    _line("markup", "lines with tags", "take the tags out", characters.tag),
    _line("repetition", "lines of the same over and over", "look at them", characters.repetition, "pair"),
)  # fmt: skip

# find(Block, side) → line ...
SIDES = (
    Check("wrong-language", WARNING, "lines in another language", "look at them", pairs.wrong_language, True,
          "pair"),
)  # fmt: skip

# find(Block) → pair ...
PAIRS = (
    Check("copy", WARNING, "targets that are their source", "leave them out: they teach to copy", pairs.copies, True,
          "pair"),
    Check("swapped-pair", WARNING, "pairs with each side in the other's language", "exchange their sides",
          pairs.exchanged, True, "pair"),
    Check("length-ratio", WARNING, "pairs with one side several times as long", "look at them: a translation is as "
          "long as its source", pairs.unlike_lengths, True, "pair"),
    Check("enormous-line", WARNING, "pairs with a side too long for a sentence", "a line end may be missing",
          pairs.enormous, True, "pair"),
    Check("overlong", WARNING, "pairs with more words than data.max_length has tokens", "training leaves them out, and "
          "those whose words make as many tokens; a greater data.max_length keeps them", pairs.too_long_to_train_on),
)  # fmt: skip

_BOILERPLATE = "look at them: most often they are boilerplate"

# find(Split, places) → Hits ...
SPLITS = (
    Check("line-counts", ERROR, "the sides differ in length", "line i of one must translate line i of the other: find "
          "the line that one of them lacks, or get both again", whole.line_counts, explains=(*_OF_PAIRS, *_REPEATS)),
    Check("same-text", ERROR, "source and target are one text", "see which files these are", whole.same_text, True,
          explains=("copy", "wrong-language", "wrong-language-throughout", "unrelated")),
    Check("swapped", ERROR, "each side is in the other's language", "exchange the files, or change data.direction",
          whole.swapped, True, explains=("swapped-pair", "wrong-language", "wrong-language-throughout")),
    Check("wrong-language-throughout", ERROR, "not in its language", "see which file this is",
          whole.wrong_language_throughout, True, explains=("wrong-language",)),
    Check("shifted", ERROR, "the pairing is shifted",
          "find the line that is missing or too much there, or get both sides again", whole.shifted, True,
          explains=("length-ratio",)),
    Check("unrelated", ERROR, "the pairing is lost",
          "see which files these are, and whether one was sorted or shuffled", whole.unrelated, True,
          explains=("length-ratio",)),
    Check("shifted-passage", WARNING, "the pairing is shifted in a passage",
          "find the line that is missing there, and the one that is too much", whole.shifted_passage, True),
    Check("unrelated-passage", WARNING, "the pairing is lost in a passage", "look at them",
          whole.unrelated_passage, True),
    Check("duplicate", WARNING, "pairs that occurred before", "they count for more than others", repeats.duplicates,
          mends="pair"),
    Check("many-targets", WARNING, "sources with many targets", _BOILERPLATE, repeats.many_targets),
    Check("many-sources", WARNING, "targets with many sources", _BOILERPLATE, repeats.many_sources),
)  # fmt: skip

# find(Split, held-out Split, places) → Hits ...
OVERLAPS = (
    Check("same-split", ERROR, "most pairs are another split's", "see which files these are: a score on what was "
          "trained on says nothing", repeats.same_split, True, explains=("source-overlap", "target-overlap")),
    Check("overlap", WARNING, "pairs that another split has", "take them out of the training split", repeats.overlap,
          True, "pair"),
    Check("source-overlap", WARNING, "sources that another split has, with another target", "remember it when you "
          "read a score", repeats.source_overlap),
    Check("target-overlap", WARNING, "targets that another split has, with another source", "remember it when you "
          "read a score", repeats.target_overlap),
)  # fmt: skip

TABLES = (*HEADS, *BYTES, *LINES, *SIDES, *PAIRS, *SPLITS, *OVERLAPS)
