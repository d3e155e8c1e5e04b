"""Language codes as files write them: "fr", "FR", "fr-CA", "fr_FR", "fra" or "fre"."""

import re
from collections.abc import Sequence

from transformer.languages import short_code

_CODE = re.compile(r"[a-z]{2,3}([-_.@][a-z0-9]+)*")


def find_language(codes: Sequence[str], language: str) -> int | None:
    """Returns the index of the first code that is `language`, else of its first regional variant, else None."""
    normalized = [_normalized(code) for code in codes]
    if language in normalized:
        return normalized.index(language)
    return next((index for index, code in enumerate(normalized) if code.split("-")[0] == language), None)


def _normalized(code: str) -> str:
    """Returns a code with "-" before its region and two letters for its language; "" for other text."""
    code = code.strip().lower()
    if not _CODE.fullmatch(code):
        return ""
    language, *region = re.split(r"[-_.@]", code)
    return "-".join([short_code(language), *region])
