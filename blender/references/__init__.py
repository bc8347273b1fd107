"""Keep what a text says about its images true when other images are put before them.

A record counts its own images from 1. Behind other images its "second image" is, say, the sample's image 5 and has to
be called that; what cannot be renumbered with certainty keeps its record from being placed behind others.
Nearly every reference hangs on a noun (image, picture, photo, photograph, pic, snapshot), so a text is read from noun
to noun, by one reader after the other: numbers and letters after it ("image 2", "images A and B"), words that depend
on what was shown around it ("the previous image"), ordinals before it ("the first two images"), words for all images
of a record ("both images", "which image"). The few phrases without a noun ("the second one") are looked for last.

Where words can be read in two ways the record decides. In a record of several images they make the text unresolvable,
since a wrong number is worse than a record left in front; in a record of one image they are taken for plain prose
("in the image a man", "the first picture on the wall"). docs/references.md lists what is recognised.
"""

from blender.references.rewrite import Rewrite, rewrite_references, unresolvable
from blender.references.sieve import COARSE

__all__ = ["COARSE", "Rewrite", "rewrite_references", "unresolvable"]
