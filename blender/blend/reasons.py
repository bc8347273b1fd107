"""Why a record may be in no sample, in two kinds: the recipe asks for it, or something is wrong with the data.

Only faults count against ``limits.dropped``. A reason that is not in :data:`ASKED_FOR` is a fault, whoever gives it:
a reader or a check that is new, too.
"""

from typing import NamedTuple

#: why a usable record is in no sample: an entry of the blend took only a part
NOT_DRAWN = "not_drawn"
#: why a record is in no sample though its conversation is: its turns were cut for a limit
CUT = "cut"
#: why a record is in no sample: one of its images is in the list of images to leave out
LISTED = "image_listed_damaged"


class AskedFor(NamedTuple):
    """What leaves a record out on purpose."""

    #: the recipe's key, or another cause
    by: str


#: reasons that are no faults
ASKED_FOR: dict[str, AskedFor] = {
    "too_many_images": AskedFor("limits.images"),
    "too_many_characters": AskedFor("limits.characters"),
    "too_many_tokens": AskedFor("limits.tokens"),
    "image_too_many_pixels": AskedFor("limits.image_pixels"),
    "image_too_many_bytes": AskedFor("limits.image_bytes"),
    LISTED: AskedFor("--without"),
    "straddles_split": AskedFor("split"),
    "no_match": AskedFor("image_match"),
    "over_limit": AskedFor("limits"),
    "other_split": AskedFor("the part of the data set that is read"),
    CUT: AskedFor("limits.characters and limits.tokens"),
    NOT_DRAWN: AskedFor("samples, repeat or image_match"),
}


def is_fault(reason: str) -> bool:
    """Tell whether a reason is a fault of the data, and nothing that the recipe asks for."""
    return reason not in ASKED_FOR


#: reasons of images that are faults; the rest of ``image_`` is in :data:`ASKED_FOR`
IMAGE_FAULTS = tuple(
    f"image_{word}"
    for word in (
        "missing",
        "outside_store",
        "unreadable",
        "empty",
        "truncated",
        "damaged",
        "dead_area",
        "not_an_image",
        "unsupported_format",
    )
)
#: every reason that this program gives a conversation or an image; readers give others to records
REASONS = (*ASKED_FOR, *IMAGE_FAULTS)

#: why an entry of a blend could not use a conversation, or a record is in no sample, as sentences
SENTENCES = {
    "no_match": "an image before the last has no conversation of its own, or one image is shown twice",
    "over_limit": "matched conversations leave no room within the limits",
    CUT: "asked fewer turns, to keep the limits",
    NOT_DRAWN: "the recipe asks for a part of this dataset",
}
