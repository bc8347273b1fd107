"""Phrases that begin like a cue to an image and are known to mean something else: "at first", "two dogs", "each other".

A phrase that is missing here makes a record not renumberable, which costs little. A list of harmful phrases instead
would let a false reference pass where it is incomplete. ``TAKEN`` marks the characters of an understood reference.
"""

from blender.data.references.words import (
    CARDINALS,
    FUNCTION,
    GAP,
    LIKE_AN_IMAGE,
    NUMERAL,
    ORDINAL,
    SIDE,
    STEM,
    compiled,
    listed,
)

#: replaces every character of an understood reference
TAKEN = "\ue000"
ORDERS = (
    rf"(?:{ORDINAL}|previous|prior(?!{GAP}to\b)|preceding|next(?!{GAP}to\b)|remaining|penultimate|initial|subsequent"
    r"|former|latter|(?:odd|even)-numbered)"
)
#: a word that may be counted or described
_OPEN = rf"(?!(?:{FUNCTION}|{LIKE_AN_IMAGE}|{ORDINAL}|{NUMERAL})\b)[a-z][a-z'’-]{{0,30}}"
_NOT_A_VERB = r"(?![a-z'’-]*(?:[a-rt-z]s|ly)\b)"
_PLURAL = (
    rf"(?!(?:{FUNCTION}|{LIKE_AN_IMAGE})\b)(?:people|men|women|children|sheep|fish|feet|teeth|mice|geese|deer|aircraft"
    r"|cattle|percent|hundred|thousand|million|dozen|[a-z][a-z'’-]{0,29}[a-rt-z]s|[a-z]{1,29}sses)\b"
)
_SINGULAR = "(?:person|man|woman|boy|girl|child|animal|dog|cat|car|object|side|end|hand)"
_ORDERED_THING = (
    "(?:floor|stor(?:e)?y|storeys|stories|level|grade|class|place|aid|time|times|half|quarter|century|inning|base|baseman"
    "|night|week|month|year|day|name|names|world|lady|hand|minute|period|season|language|person|step|thing|impression"
    "|glance|score|stage|word|line|letter|row|column|lane|responders?|birthday|anniversary|avenue|street|edition"
    "|generation)"
)
_THEIR = "(?:the|these|those|its|his|her|their|my|your)"
_PART = "(?:side|corner|edge|part|portion|half|end|area|section|hand|third|foreground|background)"

HARMLESS = compiled(
    "|".join(
        (
            # any sign over references that are spelled out: "both images 3 and 4", "the one in image 3"
            rf"(?:both|all|each|either|neither|which|any|some|none|one|two|most|every{GAP}one|{ORDERS}|{NUMERAL}"
            rf"|which{GAP}{NUMERAL})(?:{GAP}(?:of|among|between))?(?:{GAP}the)?{GAP}(?={TAKEN})",
            rf"ones?{GAP}(?:(?:shown|seen|depicted|featured){GAP})?(?:in|from|of){GAP}(?={TAKEN})",
            rf"(?:both|neither|either|each|none|all):{GAP}(?={TAKEN})|(?<={TAKEN}[ \n])(?:both|each|all)\b",
            rf"no{GAP}(?:one|other|single{GAP}one)\b|one{GAP}another|each{GAP}other|one{GAP}by{GAP}one",
            rf"(?:more|less|fewer|other|rather|later|better|earlier){GAP}than(?:{GAP}{NUMERAL}{GAP}(?={_OPEN}))?",
            # order of other things
            rf"(?:at|from){GAP}(?:the{GAP}very{GAP})?(?:first|last)(?:{GAP}(?:glance|sight))?(?=[ ,.]|\Z)",
            rf"first{GAP}(?:of{GAP}all|and{GAP}foremost)|{ORDINAL}{GAP}{_ORDERED_THING}\b",
            rf"(?:next|final|last|initial|latest|most{GAP}recent|previous|prior|remaining){GAP}(?={_OPEN}){_NOT_A_VERB}",
            rf"on{GAP}the{GAP}(?:one|other){GAP}hand|in{GAP}other{GAP}words|the{GAP}other{GAP}day|one{GAP}day",
            # one: anyone, or one thing
            rf"one{GAP}(?:can|could|may|might|must|should|would)\b|one{GAP}of{GAP}{_THEIR}{GAP}(?={_OPEN})",
            rf"(?<!the )(?<!odd )one{GAP}(?={_OPEN})"
            rf"(?!(?:show|depict|featur|contain|display|portray|hav|includ)ing\b){_NOT_A_VERB}",
            rf"(?:(?<=has )|(?<=have )|(?<=is )|(?<=are )|(?<=with )|(?<=shows )|(?<=only ))"
            rf"1{GAP}(?={_OPEN}){_NOT_A_VERB}",
            # counted things: "two small dogs", "12 people"; hours, shares, sizes
            rf"{NUMERAL}(?:{GAP}{_OPEN}){{0,3}}?{GAP}{_PLURAL}",
            r"[0-9]{1,2}(?![/][0-9](?![0-9/]))(?:[.:/][0-9]+)+(?:\s?[ap]\.?m\b\.?)?|(?<=[$€£])[0-9]+",
            r"[0-9]{1,2}\s?(?:%|°|[ap]\.?m\b\.?|km\b|cm\b|mm\b|kg\b|m\b|ft\b|gb\b|mb\b)",
            r"[0-9]+(?:d|s|k|st|nd|rd|th|mm|cm|px|x)?-[a-z]{2,}|[0-9]+(?:d|mm|cm|px|k|gb|mb)\b|[0-9]+x[0-9]+",
            r"(?!(?<!.)[1-8]{3,8}\.?\Z)[0-9]{3,}(?:s|px)?\b|[0-9]+,[0-9]{3}\b",
            rf"(?:{'|'.join(CARDINALS)})-(?!{LIKE_AN_IMAGE})[a-z]+",
            # the sides of a thing: "the left side of the road", "to the left of the car"
            rf"(?:(?:on|to|at|in|from|near|along|by){GAP})?(?:the{GAP})?(?:far{GAP})?{SIDE}(?:{GAP}{_PART})?{GAP}of{GAP}(?:the{GAP}(?={_OPEN})|an?{GAP}(?={_OPEN})|it\b|him\b|her\b)",
            rf"(?:left|right){GAP}(?:hand|arm|foot|leg|eye|ear|shoulder|wing|turn|next|behind|beside|now|away)\b",
            rf"right{GAP}in{GAP}front|all{GAP}right",
            # holders before things: "each dog", "other people", "both dogs", "all of the people"
            rf"(?:each|every|another|either|neither){GAP}(?={_OPEN}){_NOT_A_VERB}",
            rf"(?:another|others?){GAP}(?:{_OPEN}{GAP})?(?:{_PLURAL}|{_SINGULAR}\b)",
            rf"(?:both|all)(?:{GAP}of)?{GAP}(?:(?:the|its|his|her|their){GAP})?(?:{_OPEN}{GAP})?{_PLURAL}",
            rf"both{GAP}(?:an?{GAP}|the{GAP})?(?:{_OPEN}{GAP}){{1,3}}and\b",
            rf"all{GAP}(?:of{GAP})?(?:the|his|her|its){GAP}(?={_OPEN})"
            rf"|(?:above|after|at|not){GAP}all(?=[ ,.;]|\Z)|all{GAP}in{GAP}all\b",
            rf"all{GAP}(?:over|around)\b|rest{GAP}of{GAP}{_THEIR}{GAP}(?={_OPEN})|(?:at|to){GAP}rest\b",
            rf"(?:these|those){GAP}(?:{_OPEN}{GAP})?(?:{_PLURAL}|kind\b|sort\b|type\b)",
            rf"which{GAP}(?={_OPEN}){_NOT_A_VERB}",
            rf"(?<=[a-z][,)][ \n])which\b(?![^.?!\n]{{0,200}}\?)|same{GAP}{STEM}\b",
            rf"(?:in|of|on|at|to|from|with|by|for|through|during|under|over){GAP}which{GAP}"
            r"(?=(?:the|an?|he|she|it|they|people|this|his|her)\b)",
            r"vitamin [a-k]\b",
        )
    )
)
#: words that harmless phrases begin with, beside those of cues
HEADS = listed(
    "every no more less fewer rather later better earlier at from on in above after not to of with by for through "
    "during under over vitamin near along same"
)
