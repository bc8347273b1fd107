"""References to all images of a record: "both images", "these images", "which image"."""

from blender.data.references.noun import Noun
from blender.data.references.other_images import means_other_images
from blender.data.references.reference import Reference
from blender.data.references.words import COUNT, GAP, GIVEN, compiled, number_of

_COLLECTIVE = compiled(
    rf"(?<![\w-])(?=\S)(?:(?P<quantity>both|all|each|every|either|neither|which|any|between|across|among)"
    rf"(?P<of>{GAP}of)?{GAP})?(?P<definite>(?:(?P<determiner>the|these|those){GAP})?"
    rf"(?:(?P<count>{COUNT}){GAP})?(?:{GIVEN}{GAP})?)\Z"
)


def collective(noun: Noun) -> Reference | None:
    """Read "both images", "these three images", "each of the pictures", "which image", "between two images"."""
    found = _COLLECTIVE.search(noun.before)
    if found is None or not (found["quantity"] or found["determiner"] or found["count"]):
        return None
    quantity, determiner, count = ((found[group] or "").lower() for group in ("quantity", "determiner", "count"))
    one_by_one = quantity in ("each", "every", "either", "neither", "which")
    if noun.plural and one_by_one and quantity != "which" and not (found["of"] and determiner):
        return noun.unclear_if_several("all_images", found)
    if not noun.plural and (not one_by_one or found["of"] or determiner or count):
        odd = quantity in ("both", "all", "any") or count or determiner in ("these", "those")
        return noun.unclear_if_several("all_images", found) if odd and determiner != "the" else None
    if not noun.several and quantity in ("between", "across", "among") and not (determiner or count):
        return None
    if means_other_images(noun) or (quantity == "any" and not determiner):
        return noun.unclear_if_several("all_images", found)
    anaphoric = noun.named and noun.num_images > 2 and not count and quantity not in ("all", "every", "which")
    if anaphoric or not _fits(noun.num_images, quantity, determiner, count):
        return noun.unclear("all_images", found)
    chosen = f"{found['count']} of " if count and quantity == "which" and not determiner else ""
    link = "" if found["of"] else chosen or _LINKS.get(quantity, "")
    lead = noun.before[found.start() : found.start("definite")] + link
    name = noun.called(several=True, capital=not lead and found[0][0].isupper())
    return Reference(noun.start(found), noun.end, (lead, name, " ", tuple(range(1, noun.num_images + 1))))


#: what stands between a word for images and their list
_LINKS = dict.fromkeys(("all", "each", "either", "neither", "which"), "of ") | {"every": "one of "}


def _fits(num_images: int, quantity: str, determiner: str, count: str) -> bool:
    """Whether the words can mean all images of the record."""
    if num_images < 2 or (quantity in ("both", "either", "neither") and num_images != 2):
        return False
    if quantity == "which" and count and not determiner:
        return number_of(count) <= num_images
    return not count or (bool(quantity or determiner) and number_of(count) == num_images)
