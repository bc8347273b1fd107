"""Survey one image of a store: its size, its format, and whether it can be used.

Every image of a blend is surveyed before anything is written. An image that cannot be used gets a reason, a word that
is counted, and a sentence that explains it; no exception is raised for an image.
"""

from msgspec import Struct

from blender.core.errors import StoreError
from blender.data.images.checking import Examined, ImageLimits, examine_image
from blender.data.images.damage import Check, DamagedImage
from blender.data.images.names import extension_of
from blender.data.images.remote import UnreachableError
from blender.data.images.store import ImageStore, VanishedError

__all__ = ["ImageInfo", "ImageLimits", "survey_image"]


class ImageInfo(Struct, frozen=True, gc=False):
    """What is known of an image without looking at it."""

    #: length of the file; 0 where it cannot be known
    num_bytes: int
    #: pixels as stored in the file: a rotation in EXIF is not applied; 0 where the header cannot be read
    width: int
    height: int
    #: the extension of its name, in lower case, where that is one of an image; else the usual one of its format; may be
    #: empty where there is neither
    extension: str
    #: why it cannot be used, as a word for counting: ``missing``, ``unreadable``, ``empty``, ``truncated``,
    #: ``damaged``, ``dead_area``, ``not_an_image``, ``too_many_pixels``, ``too_many_bytes``, ``unsupported_format``;
    #: None when it can
    reason: str | None = None
    #: the same as a sentence
    detail: str | None = None
    #: a hash of some of its bytes (:func:`blender.data.images.identity.sketch`); None when it cannot be used
    sketch: int | None = None


def survey_image(store: ImageStore, member: str, limits: ImageLimits, check: Check = "auto") -> ImageInfo:
    """Find out an image's size and format, and whether it can be used.

    Args:
        store: The store.
        member: What :meth:`ImageStore.resolve` gave.
        limits: What an image may have at most.
        check: How closely to look.

    Raises:
        UnreachableError: A server does not answer: that says nothing of the image.
    """
    name, looked = store.name_of(member), Examined()
    reason, detail = None, None
    try:
        with store.open(member) as file, store.explaining(member):
            examine_image(file, looked, limits, check)
    except DamagedImage as damage:
        reason, detail = damage.reason, f"{name} cannot be used: {damage.why}"
    except VanishedError as error:
        reason, detail = "missing", error.message
    except UnreachableError:
        # an image that is left out for it would make the blend another one each time
        raise
    except StoreError as error:
        reason, detail = "unreadable", error.message
    extension = extension_of(name) or (looked.format.extension if looked.format else "")
    return ImageInfo(looked.num_bytes, *looked.size, extension, reason, detail, None if reason else looked.sketch)
