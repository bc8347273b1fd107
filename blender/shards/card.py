"""``README.md`` of a blend: what a person reads, and the header that lets ``datasets`` and the hub's viewer read it.

``datasets`` takes the columns of a folder of tars from the first samples and then refuses samples with other members.
With the features declared in the header, samples may differ in their number of images; an absent image is None.
"""

import hashlib
from collections.abc import Mapping

import polars as pl
from msgspec import inspect

from blender.data.sample import Sample
from blender.shards.card_text import EXAMPLE_CHARACTERS, as_yaml, card_text, published_parts
from blender.shards.location import shard_location
from blender.shards.manifest import Manifest
from blender.shards.reader import ByteRange, decode_sample

#: the last line of a card: tells whether somebody has written on it since
_SEAL = "<!-- visualchat card {} -->"


def dataset_card(manifest: Manifest, index: Mapping[str, pl.DataFrame], example: Sample | None = None) -> str:
    """Write the dataset card of a blend.

    Args:
        manifest: The blend's manifest.
        index: The index of each split.
        example: A sample to show; :func:`choose_example` finds one.
    """
    text = f"---\n{as_yaml(_header(manifest, index))}---\n\n{card_text(manifest, example)}"
    return f"{text}\n{_SEAL.format(_digest(text))}\n"


def is_untouched(card: str) -> bool:
    """Say whether a card is as :func:`dataset_card` wrote it, and nobody has added to it since."""
    text, _, seal = card.rstrip("\n").rpartition("\n")
    return seal == _SEAL.format(_digest(text))


def choose_example(location: str, index: Mapping[str, pl.DataFrame]) -> Sample | None:
    """Read a sample that shows what the blend is like: several images and turns, of many sources, and not too long.

    Args:
        location: The blend's folder or URL.
        index: The index of each split.

    Raises:
        ShardError: The sample cannot be read.
    """
    split = next((split for split, frame in index.items() if frame.height), None)
    if split is None:
        return None
    frame = index[split].with_row_index("row")
    characters = pl.col("question_characters") + pl.col("answer_characters")
    best = frame.sort(
        characters > EXAMPLE_CHARACTERS // 2,
        pl.col("num_images") < 2,
        pl.col("num_turns") < 2,
        -pl.col("num_sources").cast(pl.Int32),
        "row",
    )
    row = best.row(0, named=True)
    path, text = shard_location(location, f"{split}/{row['shard']}"), row["members"][0]
    return decode_sample(ByteRange(path, text["offset"], text["size"]).read(), row["key"], path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.rstrip("\n").encode()).hexdigest()[:16]


def _header(manifest: Manifest, index: Mapping[str, pl.DataFrame]) -> dict[str, object]:
    files = [{"split": split, "path": f"{split}/*.tar"} for split, frame in index.items() if frame.height]
    # every dataset that is known here is English, but for MIMIC-IT's translations, which have other files
    english = all(each is not None for found in published_parts(manifest).values() for each in found)
    return {
        "pretty_name": manifest.name,
        **({"language": ["en"]} if english else {}),
        "license": "other",
        "license_name": "licences-of-the-sources",
        "license_link": "README.md",
        "size_categories": [_size_category(manifest.num_samples)],
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "tags": ["webdataset", "multi-image", "multi-round"],
        "configs": [{"config_name": "default", "data_files": files}],
        "dataset_info": {"features": _features(index)},
    }


def _size_category(count: int) -> str:
    steps = ("1K", "10K", "100K", "1M", "10M", "100M", "1B")
    limits = [1_000 * 10**power for power in range(len(steps))]
    place = sum(count >= limit for limit in limits)
    if place == 0:
        return "n<1K"
    return "n>1B" if place == len(steps) else f"{steps[place - 1]}<n<{steps[place]}"


def _features(index: Mapping[str, pl.DataFrame]) -> list[dict[str, object]]:
    names = (
        pl.concat(
            [frame.select(pl.col("members").list.eval(pl.element().struct.field("name"))) for frame in index.values()]
        )
        .explode("members")
        .drop_nulls()
        .select(pl.col("members").str.splitn(".", 2).struct.field("field_1"))
        .unique()
    )
    images = [name for name in names.to_series().to_list() if name != "json"]
    return [
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
        {"name": "json", **_feature(inspect.type_info(Sample))},
        *({"name": name, "dtype": "image"} for name in sorted(images, key=_by_number)),
    ]


def _by_number(member: str) -> tuple[int, str]:
    name, _, extension = member.partition(".")
    return int(name.removeprefix("image")), extension


def _feature(kind: inspect.Type) -> dict[str, object]:
    """Say a type of :class:`Sample` as ``datasets`` does in a card."""
    match kind:
        case inspect.StructType(fields=fields):
            return {"struct": [{"name": field.name, **_feature(field.type)} for field in fields]}
        case inspect.ListType(item_type=item):
            inner = _feature(item)
            return {"list": inner.get("struct") or inner.get("list") or inner["dtype"]}
        case inspect.StrType():
            return {"dtype": "string"}
        case inspect.IntType():
            return {"dtype": "int64"}
        case inspect.BoolType():
            return {"dtype": "bool"}
    raise TypeError(kind)
