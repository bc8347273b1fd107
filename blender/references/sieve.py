"""One pattern for all texts that may hold a reference, to be asked before the readers are."""

from blender.references.words import AROUND, BLANK, CARDINALS, COUNT, EDGE, GAP, GIVEN, INTO, ORDINAL, SIDE, STEM, VERBS

# but i, k and s, which Unicode also writes with letters outside of ASCII
_NOT_A_LETTER = "[^a-hjl-rt-z]"
_WORD = "[^ \t\r\n\u00a0.,;:!?]+"
_THEN_GIVEN = f"(?:{GAP}{GIVEN})?"
_THEN_COUNT = f"(?:{GAP}{COUNT})?"
_START = f"(?:^|{_NOT_A_LETTER})"
_END = f"(?:{_NOT_A_LETTER}|$)"
_BEFORE_ONE = "|".join(
    (
        f"{ORDINAL}(?:{GAP}(?:couple{GAP}of|{_WORD})){{0,2}}",
        f"(?:each|every|either|neither|which|other)(?:{GAP}{_WORD})?",
        f"(?:{AROUND}|other){_THEN_COUNT}{_THEN_GIVEN}",
        f"(?:(?:both|all|any)(?:{GAP}of)?|these|those|{COUNT}){_THEN_COUNT}{_THEN_GIVEN}",
        f"(?:another|one|some|most|several|few|{SIDE}){_THEN_GIVEN}",
    )
)
#: matches every text in which :func:`rewrite_references` or :func:`unresolvable` could find anything, and few others;
#: means the same to Python's ``re`` and to Rust's ``regex`` (``polars.Expr.str.contains``)
COARSE = "(?i)" + "|".join(
    (
        f"{_START}{STEM}(?:s|\\(s\\)){_END}",
        f"{_START}{STEM}{BLANK}{{0,2}}(?:#|no\\.?|nr\\.?|number)?{BLANK}{{0,2}}[0-9]",
        f"{_START}{STEM}{BLANK}{{1,2}}(?:number{BLANK}{{1,2}})?(?:[a-h]|{'|'.join(CARDINALS)}){_END}",
        f"{_START}{STEM}{BLANK}?[(\\[\"“'‘](?:[0-9]{{1,2}}|[a-h])[)\\]\"”'’]",
        f"{_START}{STEM}{GAP}(?:between|among|from){GAP}(?:[0-9]|[b-h]{_END})",
        f"{_START}(?:{_BEFORE_ONE}){GAP}{STEM}{_END}",
        f"{_START}{STEM}{GAP}(?:on|to|at|in){GAP}the{GAP}(?:far{GAP}|very{GAP})?{SIDE}{_END}",
        f"{_START}the{GAP}(?:{ORDINAL}|other|left|right){GAP}one",
        f"{_START}the{GAP}{ORDINAL}{GAP}(?:{VERBS}){_END}",
        f"{_START}(?:{INTO}){GAP}the{GAP}{ORDINAL}(?:[,.;:?!)]|$)",
        f"^{EDGE}(?:the{GAP})?(?:{ORDINAL}|[1-9]|[a-h])(?:{GAP}one)?{EDGE}$",
    )
)
