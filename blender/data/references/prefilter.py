"""A cheap prefilter over whole columns: which texts of single-image records may contain a reference and must be read.

Reading a text takes a tenth of a millisecond, and most texts of single-image data refer to no image by number.
"""

import polars as pl

from blender.data.references.folding import FOLDABLE
from blender.data.references.languages import FOREIGN_SIGN, PLAIN
from blender.data.references.spelling import NUMBERED_LIKE, ORDERED_LIKE
from blender.data.references.words import AROUND, BLANK, CARDINALS, COUNT, GAP, GIVEN, ORDINAL, PORTION, STEM

# but i, k and s, which Unicode also writes with letters outside of ASCII
_NOT_A_LETTER = "[^a-hjl-rt-z]"
_WORD = "[^ \t\r\n\u00a0.,;:!?]+"
_THEN_GIVEN = f"(?:{GAP}{GIVEN})?"
_THEN_COUNT = f"(?:{GAP}{COUNT})?"
_START = f"(?:^|{_NOT_A_LETTER})"
_END = f"(?:{_NOT_A_LETTER}|$)"
_NUMERAL = f"(?:{'|'.join(CARDINALS)})"
_ROMAN = "(?:ii|iii|iv|v|vi|vii|viii|ix)"
_BEFORE_ONE = "|".join(
    (
        f"{ORDINAL}(?:{GAP}(?:couple{GAP}of|{_WORD})){{0,2}}",
        f"(?:each|every|either|neither|which|other)(?:{GAP}{_WORD})?",
        f"(?:{AROUND}|other){_THEN_COUNT}{_THEN_GIVEN}",
        f"(?:(?:both|all|any)(?:{GAP}of)?|these|those|{COUNT}){_THEN_COUNT}{_THEN_GIVEN}",
        f"(?:{ORDINAL}|{AROUND}|other){GAP}{PORTION}{GAP}of(?:{GAP}(?:the|these|those))?",
        "before|after",
    )
)
#: matches every text of a record of one image in which a reference could be found, but for those in other languages,
#: and few others; means the same to Python's ``re`` and to Rust's ``regex`` (``polars.Expr.str.contains``), but that
#: "ı" and "İ" are an "i" to Python alone
PREFILTER = "(?i)" + "|".join(
    (
        f"{_START}{STEM}(?:s|\\(s\\)){_END}",
        f"{_START}{STEM}{BLANK}{{0,2}}(?:#|№|no\\.?|nr\\.?|num|n[°º]|number)?[ .:#(№\u00a0-]{{0,5}}[0-9]",
        f"{_START}{STEM}{BLANK}{{1,2}}(?:number{BLANK}{{1,2}})?(?:[a-h]|{_NUMERAL}){_END}",
        f"{_START}{STEM}{BLANK}{{1,2}}(?:(?:numbers?|num|nos?|nr|nbr|n)[ .:#(№-]{{0,4}}|n[°º]|#){BLANK}?{_NUMERAL}",
        f"{_START}{STEM}{BLANK}?[:=]{BLANK}?[0-9]",
        f"{_START}{STEM}{BLANK}{{1,2}}(?:[a-h]\\)|eleven|twelve|[a-z]{{3,5}}teen|twenty|thirty)",
        f"{_START}{STEM}[-_–—~]+{_NUMERAL}",
        f"{_START}{STEM}(?:[-_–—~]+[0-9a-h]|(?-i:[A-H]){_END}|{BLANK}{{0,2}}(?-i:[^\x00-\x7f]))",
        f"(?:{STEM}|{NUMBERED_LIKE})s?[- \u00a0_]{{1,2}}(?:i[:.;)\\]?!]|i$|i (?:is|shows|has|and|or|v)|{_ROMAN}{_END})",
        f"{NUMBERED_LIKE}s?\\.?[- \u00a0_#(\\[]{{0,3}}(?:(?:no|nr|number)\\.?[ \u00a0]?|#)?"
        f"(?:[0-9]|[a-h]{_END}|{_NUMERAL})",
        f"{ORDINAL}{GAP}{ORDERED_LIKE}",
        f"{STEM}{BLANK}?[(\\[{{<\"“'‘`]",
        f"{STEM}(?:[-_]?(?:no|num|nr|number|index|id|idx)[-_.]{{0,2}}[0-9]|{_NUMERAL})",
        f"{STEM}{GAP}(?:numbered|labell?ed|marked|(?:with{GAP})?(?:the{GAP})?(?:number|index|id)"
        f"|(?:at|in){GAP}(?:the{GAP})?(?:position|index|place|slot))",
        f"the [\"“'‘]?[A-H][\"”'’]?{BLANK}{STEM}",
        f"{ORDINAL}_{STEM}|(?:#|no|nr|number)[. \t\u00a0]{{0,3}}(?:[0-9]{{1,2}}|{_NUMERAL}){BLANK}{STEM}",
        f"{_START}(?:{_BEFORE_ONE}){GAP}{STEM}{_END}",
        f"(?:before|after)[^a-z0-9]{{0,2}}{STEM}",
    )
)


def must_be_read(text: pl.Expr) -> pl.Expr:
    """Return whether a text of a single-image record may contain a reference, as a polars expression."""
    is_ascii = text.str.len_bytes() == text.str.len_chars()
    plain = is_ascii & text.str.contains_any(list(PLAIN))
    return text.str.contains(PREFILTER) | text.str.contains(FOLDABLE) | (~plain & text.str.contains(FOREIGN_SIGN))
