"""Keep the references of a text ("the second image", "image 2") true when other images are put before its own.

A record counts its own images from 1. In a sample that shows other images first, its image 2 may be image 5, and the
text must say so. A record is *renumberable*, so that other images may be put before its own, if every reference in its
texts is understood and can be rewritten. Otherwise it stays first in its sample. The rules:

- Most references contain a noun (image, picture, photo, photograph, pic, snapshot). At each noun these readers are
  tried in turn: numbers and letters after it ("image 2"), words that depend on the neighbouring images ("the previous
  image"), ordinals before it ("the first two images"), all images of the record ("both images"), some of several
  ("another image"). What they understand is rewritten.
- Spellings that are not rewritten ("Image-1", "figure 2") make a record not renumberable.
- In a record of several images, any number, ordinal, letter, comparison or pronoun outside of an understood reference
  may point at an image ("the other", "which one"), and makes the record not renumberable, unless the phrase is known to
  be harmless ("two dogs", "each other").
- A text that is not recognised as English is not understood if the record has several images or the text contains words
  that may count images.

Words with two readings are taken as ordinary prose in a record of one image ("in the image a man", "which one"),
because there is only one image to point at. docs/references.md lists what is recognised.
"""

from blender.data.references.prefilter import PREFILTER, must_be_read
from blender.data.references.reading import UnclearReference, find_unclear_reference, named_references
from blender.data.references.reference import Reason
from blender.data.references.rewrite import Rewrite, rewrite_references

__all__ = [
    "PREFILTER",
    "UnclearReference",
    "Reason",
    "Rewrite",
    "find_unclear_reference",
    "must_be_read",
    "named_references",
    "rewrite_references",
]
