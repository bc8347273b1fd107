"""Keep what a text says about its images true when other images are put before them.

A record counts its own images from 1. Behind other images its "second image" is, say, the sample's image 5 and has to
be called that. A text goes behind other images only when it is proved harmless:

- references that are understood are rewritten. Nearly all hang on a noun (image, picture, photo, photograph, pic,
  snapshot), so a text is read from noun to noun, by one reader after the other: numbers and letters after it
  ("image 2"), what depends on the images around it ("the previous image"), ordinals before it ("the first two images"),
  all images of a record ("both images"), some of several ("another image");
- spellings that are not rewritten ("Image-1", "figure 2") keep a record in front, and in a record of several images so
  does every number, ordinal, letter, comparison or holder that is in no understood reference ("the other",
  "which one"), unless it is known to point at something else ("two dogs", "each other");
- so do texts that are not recognised as English, when their record has several images or they have such a sign.

Words that can be read in two ways are prose in a record of one image ("in the image a man", "which one"), which speaks
of nothing else. docs/references.md lists what is recognised.
"""

from blender.data.references.prefilter import PREFILTER, must_be_read
from blender.data.references.reading import Pin, find_pin, named_references
from blender.data.references.reference import Reason
from blender.data.references.rewrite import Rewrite, rewrite_references

__all__ = [
    "PREFILTER",
    "Pin",
    "Reason",
    "Rewrite",
    "find_pin",
    "must_be_read",
    "named_references",
    "rewrite_references",
]
