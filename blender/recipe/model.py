"""The blend recipe as frozen pydantic models; defaults are defined here and nowhere else.

Rules between keys (a source must exist, an entry has one kind) are checked by ``rules``, not here: pydantic skips such
checks once any field is wrong, and all faults are to be reported together.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from blender.core.errors import Fault
from blender.data.sources.options import LeadingAnswer, OnBadRecord, ReadOptions, System
from blender.recipe.document import KeyPath, Problem
from blender.recipe.fields import (
    MOST,
    Count,
    Location,
    Locations,
    Name,
    Portion,
    Range,
    Samples,
    Size,
    SourceNames,
    as_list,
)
from blender.recipe.lint import Lint
from blender.recipe.locations import expand, local_path, missing
from blender.recipe.rules import broken_rules
from blender.recipe.section import BaseRecipe, RecipeKind, Section
from blender.recipe.split import SplitRules
from blender.recipe.stores import StoreOrLocation

Kind = Literal["plain", "concatenate", "image_match"]


class Source(Section):
    """Annotation files of one format, and their image store."""

    format: str = Field(description="The reader of the files, such as llava, mimicit or sparkles.")
    files: Locations = Field(
        description="Annotation files: a path, a URL or a pattern such as part-*.json, or a list of them. "
        "Paths start at the current folder. Files that match a pattern are read in sorted order."
    )
    images: str | None = Field(
        default=None, description="The image store, one of the names under images; none for text without images."
    )
    on_bad_record: OnBadRecord | None = Field(
        default=None,
        description="What is done with this source's records of the wrong shape, other than on_bad_record.",
    )

    system: System | None = Field(
        default=None,
        description="What is done with system messages (llava, sparkles). skip, the default: a conversation that has "
        "one is left out; drop: it is read without; keep: the text stays before its question, untrained, that of a "
        "sample's first turn in place of the template's own words.",
    )
    leading_answer: LeadingAnswer | None = Field(
        default=None,
        description="What is done with a conversation that begins with an answer (llava, sparkles). skip, the default: "
        "it is left out; drop: it is read without that answer.",
    )
    dropped: Portion | None = Field(
        default=None,
        description="Share of this source's records that may be lost to faults, other than limits.dropped.",
    )

    def resolved_files(self) -> list[str]:
        """List the files in the order of reading, patterns expanded in sorted order, each file once.

        Remote patterns are listed over the network.
        """
        return list(dict.fromkeys(chain.from_iterable(map(expand, self.files))))


class ImageMatch(Section):
    """Conversations of base sources, preceded by those of other sources about the same images."""

    base: SourceNames = Field(description="Source, or list of sources, whose conversations are built upon.")
    with_: SourceNames = Field(
        alias="with", description="Sources whose conversations about the same images are put before."
    )


class BlendEntry(Section):
    """One output dataset of the blend."""

    name: Name = Field(description="Name of the output dataset: letters, digits, - _ . ; each name once.")
    from_: SourceNames | None = Field(
        default=None, alias="from", description="Source, or list of sources, whose records are taken."
    )
    concatenate: Range | None = Field(
        default=None,
        description="[low, high]: join records into conversations of a random number of records from low to high. "
        "Each record is used once.",
    )
    image_match: ImageMatch | None = Field(
        default=None,
        description="Put conversations of other sources about the same images before those of a base source.",
    )
    repeat: float | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="How often everything is taken: 2.5 means twice, and half of it again.",
    )
    samples: Samples | None = Field(
        default=None,
        description='How many samples are taken: a number, or a share such as "30%"; more than there are repeats some.',
    )

    @property
    def kind(self) -> Kind:
        """The kind of blend."""
        if self.image_match:
            return "image_match"
        return "concatenate" if self.concatenate else "plain"

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources that the entry reads, in order."""
        match = self.image_match
        return (*match.base, *match.with_) if match else self.from_ or ()


class Limits(Section):
    """Limits on samples and images."""

    images: Count = Field(default=8, description="Images of one sample.")
    characters: Count | None = Field(default=None, description="Characters of the questions and answers of one sample.")
    tokens: Count | None = Field(
        default=None, description="Tokens of the questions, answers and images of one sample; tokenizer must be given."
    )
    tokenizer: Location | None = Field(
        default=None, description="Path of a tokenizer.json, or of a folder that holds one; counts tokens."
    )
    cut: bool = Field(
        default=True,
        description="Whether a conversation over the limit of characters or tokens loses its last turns; false: it is "
        "left out whole.",
    )
    image_tokens: Annotated[int, Field(ge=0, le=MOST)] = Field(
        default=256, description="Tokens that one image counts for."
    )
    image_pixels: Count = Field(default=100_000_000, description="Width times height of one image.")
    image_bytes: Size = Field(default=100_000_000, description="Size of one image file: a number of bytes, or 100MB.")
    dropped: Portion = Field(
        default=0.05,
        description="Share of a source's records that may be lost to faults, such as missing images, before the blend "
        'is refused: 0.05 or "5%"; "100%" allows all. What the recipe itself leaves out does not count.',
    )


class Pixels(Section):
    """How closely images are checked before they are used."""

    check: Literal["header", "auto", "decode"] = Field(
        default="auto",
        description="header: the first bytes and the end mark; auto: checksums (PNG), segments and scans (JPEG), "
        "and decoding where a format has neither; decode: decoding of every image, with the decoder's warnings.",
    )


class Shards(Section):
    """The size of shards."""

    max_samples: Count = Field(default=1000, description="Samples of one shard.")
    max_bytes: Size = Field(default=1_000_000_000, description="Size of one shard: a number of bytes, or 1GB.")


class Recipe(BaseRecipe):
    """A blend recipe: which published data become which conversations."""

    template: str = Field(default="deepspeed-visualchat", description="How a conversation is written out as text.")
    stores: Mapping[Name, StoreOrLocation] = Field(
        alias="images",
        default_factory=dict,
        description="Image stores by name: a folder, .zip, .tar, .parquet or base64 .json; a path or a URL. Or "
        "{path: …, same_as: …}.",
    )
    sources: Annotated[Mapping[Name, Source], Field(min_length=1)] = Field(
        description="Annotation files by source name."
    )
    blend: Annotated[tuple[BlendEntry, ...], Field(min_length=1), BeforeValidator(as_list)] = Field(
        description="The output datasets, one entry each."
    )
    on_bad_record: OnBadRecord = Field(
        default="stop",
        description="What is done with records of the wrong shape. stop: all of a file's are reported, and nothing is "
        "blended; skip: each is left out, with its reason in the ledger.",
    )
    limits: Limits = Field(default_factory=Limits, description="What a sample, and an image, may have at most.")
    pixels: Pixels = Field(
        default_factory=Pixels, description="How closely images are looked at before they are taken."
    )
    split: SplitRules = Field(default_factory=SplitRules, description="What is kept back for evaluation.")
    shards: Shards = Field(default_factory=Shards, description="How large the written files become.")
    lint: Lint | None = Field(default=None, description="What `visualchat lint` does not report.")

    def read_options(self, source: str) -> ReadOptions:
        """Say how a source's files are read."""
        own = self.sources[source]
        return ReadOptions(own.on_bad_record or self.on_bad_record, own.system or "skip", own.leading_answer or "skip")

    def allowed_loss(self, source: str) -> float:
        """Return the share of a source's records that may be lost to faults."""
        own = self.sources[source].dropped
        return self.limits.dropped if own is None else own

    @property
    def images(self) -> dict[str, str]:
        """Where each image store is."""
        return {name: store.path for name, store in self.stores.items()}

    @property
    def same_stores(self) -> dict[str, str]:
        """The stores that hold the same images as another, and which."""
        return {name: store.same_as for name, store in self.stores.items() if store.same_as}

    @property
    def warnings(self) -> list[str]:
        """Sentences about what is allowed but probably a mistake: sources and image stores that nothing uses."""
        used = {name for entry in self.blend for name in entry.sources}
        stores = {source.images for source in self.sources.values()} | set(self.same_stores.values())
        return [
            *(f"source '{name}' is used by no entry of the blend" for name in self.sources if name not in used),
            *(f"image store '{name}' is used by no source" for name in self.images if name not in stores),
        ]

    def hash(self) -> str:
        """Hash what determines the samples.

        These make no difference: comments, the order of keys, `lint`, `on_bad_record`, how much may be dropped, and
        whether variables and defaults are written out. The order of sources, of their files and of the entries does
        matter, as do all paths: other files are other samples.
        """
        content = {key: value for key, value in self.resolved().items() if key not in ("lint", "on_bad_record")}
        sources = {
            # default values of later keys are left out, so that older recipes keep their hashes
            name: {
                key: value
                for key, value in source.items()
                if key not in ("on_bad_record", "dropped")
                and not (key in ("system", "leading_answer") and value == "skip")
            }
            for name, source in content["sources"].items()
        }
        ordered = {**content, "limits": self.decisive_limits(), "sources": list(sources.items())}
        text = json.dumps(ordered, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def decisive_limits(self) -> dict[str, Any]:
        """Return the limits that samples depend on: without `dropped`, and without `cut` where nothing is cut."""
        limits = self.limits
        idle = {"dropped"} if limits.characters or limits.tokens else {"dropped", "cut"}
        return limits.model_dump(mode="json", exclude_none=True, exclude=idle)

    def missing_files(self) -> list[Fault]:
        """Look for the annotation files (and the tokenizer) that should be on this machine.

        Returns:
            A fault, with its line, for each file that is not there and each pattern that matches none.
        """
        wanted: list[tuple[KeyPath, str]] = [
            (("sources", name, "files", number), location)
            for name, source in self.sources.items()
            for number, location in enumerate(source.files)
        ]
        problems = [Problem(key_path, text) for key_path, location in wanted if (text := missing(location))]
        return self.faults([*problems, *self._missing_tokenizer(), *self._missing_list()])

    def missing_stores(self) -> list[Fault]:
        """Look for the image stores that should be on this machine, and return a fault for each that is not there."""
        return self.faults(
            Problem(("images", name), text)
            for name, location in self.images.items()
            if (text := missing(location, folder=True))
        )

    def _missing_tokenizer(self) -> Iterator[Problem]:
        location = self.limits.tokenizer
        path = local_path(location) if location else None
        if location is None or path is None:
            return
        absent = missing(location, folder=True)
        if absent is None and path.is_dir() and not (path / "tokenizer.json").is_file():
            absent = f"'{location}' holds no tokenizer.json"
        if absent:
            yield Problem(("limits", "tokenizer"), absent)

    def _missing_list(self) -> Iterator[Problem]:
        if self.split.list_ and (absent := missing(self.split.list_)):
            yield Problem(("split", "list"), absent)


#: recipes of blends
BLEND: RecipeKind[Recipe] = RecipeKind("blend", Recipe, broken_rules)
