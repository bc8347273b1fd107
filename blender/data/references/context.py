"""What may follow a phrase that refers to an image, so that the phrase surely ends there.

"Image 1 shows" refers to an image, "Image 1 News" is a name; "the first image, a dog" is a reference, "the first image
that comes to mind" is not.
"""

from blender.data.references.words import BLANK, CONNECTIVES, GAP, NUMERAL, STEM, VERBS, compiled

#: the end of the text, of a clause or of a line, or a possessive
STOP = r"(?=[ \t]*\Z|['’]s?\b|['’]\Z|[ \t]*[^\w\s'’%/+&-]|[ \t]*\r?\n|[ \t]+[-–—][ \t])"
NAMED = rf"(?:{STOP}|(?={GAP}(?:{VERBS}|{CONNECTIVES})\b))"
NAMING = compiled(NAMED)
_STARTERS = (
    "the|an?|this|these|those|its|his|her|their|my|your|our|some|many|several|few|there|here|too|now|above|below|again|"
    "what|how|why|please|no|nobody|people|everyone|someone|something|nothing|more|most|very|i['’]m|it['’]s"
)
_AFTER_IT = (
    "somehow|onto|into|inside|outside|after|before|during|since|until|upon|within|across|towards?|against|through|over"
    "|under|behind|beside|be|been|being|affects?|meets?|decides?|enhances?|inspires?|influences?|complements?|first"
)
_OPEN = r"[a-z]{2,30}(?:ly|ing|ed)"
#: after a number; a further number would leave open which of them counts
AFTER_NUMBER = compiled(
    rf"{STOP}|(?={GAP}(?:{VERBS}|{CONNECTIVES}|{_STARTERS}|{_AFTER_IT}|{_OPEN})\b)|(?={BLANK}{{1,2}}{STEM}s?{BLANK}?#?[0-9])"
)
_NO_VERB = (
    "logo|file|format|size|caption|title|description|button|link|url|name|label|number|quality|resolution|processing|editing"
    "|gallery|album|frame|book|section|page|column|row|set|pair|channel|style|sensor|editor|search|group|people|men|women"
    "|children|sheep|fish|deer"
)
#: after "in image 1": any word but those that may be counted or named by the number
AFTER_NUMBER_IN = compiled(rf"(?={GAP}(?!(?:{_NO_VERB})\b)[a-z]{{3,30}}(?<!s)\b)")
IN = compiled(rf"\b(?:in|from|of|with|to|by|for|and|than|like|on|between|using|into|onto){GAP}\Z")
#: after "the first image": a relative clause or a maker would make it another thing
AFTER_ORDINAL = compiled(
    rf"{STOP}|(?={GAP}(?!(?:that|which|who|whose|i|you|we|they|he|she|taken|made|shot|captured|ever|of)\b)"
    rf"(?:{VERBS}|{CONNECTIVES}|{_STARTERS}|{NUMERAL}|{_OPEN})\b)"
    rf"|(?={GAP}(?:i|you|we|one){GAP}(?:can|could|may|might|will|would|see|notice|find|observe)\b)"
)
