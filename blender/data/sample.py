"""A sample: what the whole program calls one training example.

Source readers make its turns, blending joins them, shards store it as JSON beside its images, and whatever comes later
(preview, lint, streaming, chat, evaluation) reads the same four classes: :class:`Sample`, :class:`Turn`,
:class:`ImageRef`, :class:`Span`. They are msgspec structs: fast to make and to decode, and outside the garbage
collector's care, because a full blend holds half a million. The fields and their order are the file format
(``schemas/sample.schema.json``).
"""

from msgspec import Struct


class ImageRef(Struct, frozen=True, gc=False):
    """Where an image came from, and its size."""

    #: image store of the recipe
    store: str
    #: name in the store
    name: str
    #: pixels as stored in the file; a rotation noted in EXIF is not applied
    width: int
    height: int


class Turn(Struct, frozen=True, gc=False, omit_defaults=True):
    """One question and its answer, with the images newly shown before the question.

    A turn belongs to an owner: the conversation that a source reader made, or a stored sample. Image numbers count from
    1 through the owner's images in the order shown, and references in the texts ("image 2") use the same numbers;
    blending rewrites both when it puts other images before.
    """

    #: numbers, from 1, of the owner's images that are newly shown; empty where the turn is about earlier ones or none
    images: list[int]
    question: str
    answer: str
    #: index of the record that the turn came from, in the owner's ``records`` or ``sources``
    source: int
    #: instruction before the question, as a message of its own; that of a sample's first turn replaces the template's
    system: str = ""


class Span(Struct, frozen=True, gc=False):
    """A piece of the rendered text."""

    text: str
    #: whether loss falls on it
    train: bool


class Sample(Struct, frozen=True, gc=False):
    """One training example: the JSON member of a sample in a shard."""

    key: str
    #: the blend entry that made it
    dataset: str
    #: the records it was made of, each ``source/file/record`` as in the ledger
    sources: list[str]
    #: the images in the order shown
    images: list[ImageRef]
    turns: list[Turn]
    #: the template that ``spans`` were rendered with
    template: str
    #: the rendered turns; ``<image>`` where features go
    spans: list[Span]
