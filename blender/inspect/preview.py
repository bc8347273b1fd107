"""Samples of a plan, made as a writer would make them, before anything is written.

Only the texts and images of the chosen samples are read. With ``look=False`` a plan takes seconds, because it does not
open the images; then a sample is shown here that will be dropped when one of its images turns out to be broken, and the
samples behind it get other keys.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from blender.blend.plan import Plan
from blender.blend.summary import summarise
from blender.core.errors import InspectionError, StoreError
from blender.data.images import ImageLimits, ImageStore, open_store, survey_image
from blender.data.images.names import shown_name
from blender.data.sample import ImageRef, Sample
from blender.inspect.overview import plan_overview
from blender.inspect.page import Setup, report_page
from blender.inspect.report import facets_of, pick_rows, write_file
from blender.inspect.statistics import plan_figures
from blender.inspect.thumbnails import SIZES, Size, Thumbnail, make_thumbnail
from blender.inspect.views import TokensView, view_of
from blender.shards.make import make_samples
from blender.shards.planned import PlannedImage, shard_path, write_pieces

_UNLOOKED = "Images were not opened for the plan: samples whose images turn out to be broken will be dropped."


@dataclass(frozen=True)
class PreviewImage:
    """An image of a previewed sample."""

    #: None when it cannot be read
    content: bytes | None
    #: why
    fault: str | None


@dataclass(frozen=True)
class PreviewSample:
    """A sample as it will be written."""

    sample: Sample
    images: tuple[PreviewImage, ...]
    split: str
    #: the shard it will be in, as a path in the blend's folder
    shard: str


def preview_rows(
    plan: Plan, *, sample: str | None = None, dataset: str | None = None, num: int, seed: int
) -> list[int]:
    """Choose samples of a plan.

    Args:
        plan: The plan.
        sample: One sample, by key, or by number from 0 (of the dataset, where one is given).
        dataset: Choose from this one only.
        num: How many are drawn when no sample is named.
        seed: Decides which.

    Raises:
        InspectionError: There is no such sample or dataset.
    """
    if sample is None:
        return pick_rows(plan.samples, num, dataset, seed)
    rows = np.arange(plan.samples.height)
    if dataset is not None:
        rows = plan.samples["dataset"].eq(dataset).arg_true().to_numpy()
        if not len(rows):
            raise InspectionError(f"recipe {plan.recipe.name} plans no sample of dataset {dataset}")
    if sample.isdecimal():
        if int(sample) >= len(rows):
            raise InspectionError(f"there is no sample number {sample}", f"numbers go from 0 to {len(rows) - 1}")
        return [int(rows[int(sample)])]
    keys = plan.keys().gather(rows)
    found = keys.eq(sample).arg_true()
    if not len(found):
        raise InspectionError(f"no sample {sample} is planned", f"keys look like {keys[0]}")
    return [int(rows[found[0]])]


def preview_samples(plan: Plan, rows: Iterable[int]) -> list[PreviewSample]:
    """Make samples of a plan, and read their images.

    Args:
        plan: The plan.
        rows: Rows of its samples.
    """
    rows = list(rows)
    planned, _ = write_pieces(plan)
    chosen, looks = plan.samples[rows], _Looks(plan)
    shards = chosen.select("split", "shard").iter_rows()
    return [
        looks.look(sample, images, *shard)
        for (sample, images, _), shard in zip(make_samples(planned.open(), chosen), shards, strict=True)
    ]


class _Looks:
    """Reads images of a plan, each store opened once."""

    def __init__(self, plan: Plan) -> None:
        self.locations = plan.recipe.images
        limits = plan.recipe.limits
        self.limits = ImageLimits(max_pixels=limits.image_pixels, max_bytes=int(limits.image_bytes))
        self.stores: dict[str, ImageStore | StoreError] = {}

    def look(self, sample: Sample, images: list[PlannedImage], split: str, shard: int) -> PreviewSample:
        looked = [self._look(image) for image in images]
        sample = replace(sample, images=[fact for fact, _ in looked])
        return PreviewSample(sample, tuple(image for _, image in looked), split, shard_path(split, shard))

    def _look(self, image: PlannedImage) -> tuple[ImageRef, PreviewImage]:
        width, height = image.width or 0, image.height or 0
        store, member = self._store(image.store), image.member
        content, fault = None, None
        if isinstance(store, StoreError):
            fault = store.message
        elif member is None:
            fault = f"{shown_name(image.name)} is not in image store {store.name}"
        else:
            info = survey_image(store, member, self.limits)
            width, height, fault = info.width, info.height, info.detail
            content = store.read(member) if fault is None else None
        return ImageRef(image.store, image.name, width, height), PreviewImage(content, fault)

    def _store(self, name: str) -> ImageStore | StoreError:
        if name not in self.stores:
            try:
                self.stores[name] = open_store(name, self.locations[name])
            except StoreError as error:
                self.stores[name] = error
        return self.stores[name]


def write_preview(
    plan: Plan,
    samples: list[PreviewSample],
    out: Path,
    count_tokens: Callable[[Sample], TokensView] | None = None,
) -> int:
    """Write a preview as a page; return its bytes.

    Args:
        plan: The plan.
        samples: Its samples to show.
        out: The HTML file.
        count_tokens: Makes a sample's tokens.

    Raises:
        InspectionError: The file cannot be written.
    """
    numbers, images = _number(samples)
    views = [
        view_of(made.sample, made.split, made.shard, own, count_tokens(made.sample) if count_tokens else None)
        for made, own in zip(samples, numbers, strict=True)
    ]
    shown = f"Shown are {len(samples):,} of {plan.samples.height:,} planned samples."
    notes = [shown if plan.looked else f"{shown} {_UNLOOKED}"]
    overview = plan_overview(plan, summarise(plan), plan_figures(plan), notes)
    size = SIZES[0] if len(images) < 300 else SIZES[1]
    pictures = ((number, _picture(image, size)) for number, image in enumerate(images))
    setup = Setup("samples", facets_of(views), overview, views)
    return write_file(out, report_page(setup, pictures, f"{plan.recipe.name}: preview"))


def _number(samples: list[PreviewSample]) -> tuple[list[list[int | None]], list[PreviewImage]]:
    """Give each image one picture."""
    known: dict[tuple[str, str], int] = {}
    images, numbers = list[PreviewImage](), list[list[int | None]]()
    for made in samples:
        own: list[int | None] = []
        for fact, image in zip(made.sample.images, made.images, strict=True):
            number = known.setdefault((fact.store, fact.name), len(images))
            if number == len(images):
                images.append(image)
            own.append(number)
        numbers.append(own)
    return numbers, images


def _picture(image: PreviewImage, size: Size) -> Thumbnail:
    if image.content is None:
        return Thumbnail(b"", image.fault)
    return make_thumbnail(image.content, size)
