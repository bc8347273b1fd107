"""What a person reads on a blend's card: counts, an example, sources, licences, limits, recipe.

Names and texts come from strangers, and the hub shows a card as a page: they stand in code, which nothing ends early.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import yaml

from blender.data.sample import Sample
from blender.shards.manifest import Manifest, ManifestCount
from blender.shards.published import Published, published_as

#: characters of the example, at most
EXAMPLE_CHARACTERS = 2_400

#: from this layout on blends know images by their content
_BY_CONTENT = 2


def card_text(manifest: Manifest, example: Sample | None) -> str:
    """Write what stands below a card's header.

    Args:
        manifest: The blend's manifest.
        example: A sample to show.
    """
    known = published_parts(manifest)
    sections = (
        f"""# {manifest.name}

Interleaved multi-round, multi-image conversations, blended with visualchat {manifest.program} (template
`{manifest.template}`).

{_counts(manifest.counts)}""",
        _USE,
        _example(example) if example else "",
        f"## Sources\n\n{_files(manifest)}",
        f"## Licences\n\n{_licences(known)}",
        f"## Limits\n\n{_limits(manifest, known)}",
        f"## Recipe\n\n{_fenced(as_yaml(manifest.recipe), 'yaml')}",
    )
    return "\n\n".join(filter(None, sections)) + "\n"


_USE = """## Use

```python
import datasets

samples = datasets.load_dataset("FOLDER", streaming=True)["train"]
```

FOLDER is this folder, or the name of its repository on the hub. Each sample is `{key}.json` (`images`, `turns`, and
`spans`: the rendered conversation, `<image>` where features go, `train` where loss falls) and its images
`{key}.image1.jpg`, … in the order shown, their bytes untouched. `ledger.parquet` tells what became of every record
read, and `{split}/index.parquet` where every sample lies. `webdataset` and `tar` read the shards as they are."""


#: what each level of looking at images means
_CHECKED = {
    "header": "headers and end marks",
    "auto": "checksums, or the structure of a JPEG to its end, or decoding where a format has neither",
    "decode": "every image was decoded, and the decoder's warnings counted as damage",
}


def _counts(counts: list[ManifestCount]) -> str:
    rows = [
        (row.dataset, row.split, *(f"{number:,}" for number in (row.samples, row.images, row.turns))) for row in counts
    ]
    splits = {row.split: [0, 0, 0] for row in counts}
    for row in counts:
        splits[row.split] = [
            sum(pair) for pair in zip(splits[row.split], (row.samples, row.images, row.turns), strict=True)
        ]
    rows += [("in all", split, *(f"{number:,}" for number in sums)) for split, sums in splits.items()]
    return _table(("dataset", "split", "samples", "images", "turns"), rows, num_texts=2)


def _example(sample: Sample) -> str:
    images = [
        (f"image {number}", _code(image.name), f"{image.width} x {image.height}")
        for number, image in enumerate(sample.images, 1)
    ]
    shown = "".join(f"[[{span.text}]]" if span.train else span.text for span in sample.spans)
    shown = shown if len(shown) <= EXAMPLE_CHARACTERS else f"{shown[:EXAMPLE_CHARACTERS]}…"
    parts = (
        f"## Example\n\n`{sample.key}` of {sample.dataset}. Loss falls on what stands between `[[` and `]]`.",
        _table(("", "name", "pixels"), images, num_texts=3) if images else "",
        _fenced(shown, "text"),
        "Made of " + ", ".join(map(_code, sample.sources)) + ".",
    )
    return "\n\n".join(filter(None, parts))


def _files(manifest: Manifest) -> str:
    rows = [
        (_code(file.source), _code(file.file), f"{file.num_records:,}", f"`{file.sha256[:16]}…`")
        for file in manifest.files
    ]
    return _table(("source", "file", "records", "SHA-256"), rows, num_texts=2)


def published_parts(manifest: Manifest) -> dict[str, list[Published | None]]:
    """Tell which published datasets each source is, by the names of its files."""
    sources = manifest.recipe.get("sources", {})
    known: dict[str, list[Published | None]] = {}
    for file in manifest.files:
        found = published_as(file.file, sources.get(file.source, {}).get("format"))
        if found not in known.setdefault(file.source, []):
            known[file.source].append(found)
    return known


def _licences(known: Mapping[str, Sequence[Published | None]]) -> str:
    rows = [
        (_code(source), f"[{each.name}]({each.page})", each.licence, each.images)
        if each
        else (_code(source), "not known here", "ask its publisher", "ask its publisher")
        for source, found in known.items()
        for each in found
    ]
    return f"""The blend adds no licence to those of its sources; whoever passes it on has to keep to all of them.
Sources are told by the names of their files, and this is what the pages of those datasets say. Look there before you
rely on it.

{_table(("source", "published as", "texts", "images"), rows, num_texts=4)}"""


def _limits(manifest: Manifest, known: Mapping[str, Sequence[Published | None]]) -> str:
    return "\n".join(f"- {line}" for line in _limit_lines(manifest, known))


def _limit_lines(manifest: Manifest, known: Mapping[str, Sequence[Published | None]]) -> Iterator[str]:
    written = dict.fromkeys(each.name for found in known.values() for each in found if each and each.generated)
    if written:
        yield f"Language models wrote the texts of {', '.join(written)}. They contain errors, about the images, too."
    ledger = manifest.ledger
    pinned = sum(ledger.get("pinned", {}).values())
    dropped = ", ".join(f"{count:,} {_code(reason)}" for reason, count in ledger["dropped"].items())
    yield (
        f"{ledger['read']:,} records were read; {ledger['emitted']:,} of them are in samples, some several times "
        f"({ledger['uses']:,} uses)." + (f" The others: {dropped}." if dropped else "")
    )
    yield (
        f"{ledger['references_rewritten']:,} references to images were renumbered by rules for English texts, such as "
        "“the first image”."
        + (
            f" {pinned:,} records stand behind no other images, since such rules cannot tell what they mean there."
            if pinned
            else ""
        )
    )
    split = manifest.recipe.get("split", {})
    if split.get("by") == "sample":
        yield "Train and eval were parted by sample: they may share images."
    elif (split.get("eval") or split.get("list")) and manifest.layout < _BY_CONTENT:
        yield (
            "Train and eval share no image by name. Copies under other names were not looked for; `visualchat lint` "
            "finds them."
        )
    elif split.get("eval") or split.get("list"):
        yield "Train and eval share no image, whatever its names: files were compared by their bytes."
    yield "Images are as they were published: of any size, and a rotation that EXIF notes is not applied."
    if manifest.pixel_check:
        how = _CHECKED[manifest.pixel_check]
        yield f"Images were checked for damage under `pixels.check: {manifest.pixel_check}`: {how}."
    yield from (f"Noted while planning: {_code(warning)}." for warning in manifest.warnings)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], num_texts: int) -> str:
    """Make a table whose first ``num_texts`` columns are texts and the others figures."""
    rule = ["---" if place < num_texts else "---:" for place in range(len(columns))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))


def _code(text: str) -> str:
    """Write a stranger's text so that no part of it becomes markup, inside a table or not."""
    plain = " ".join(text.split()).replace("|", "¦")
    longest = max(map(len, re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {plain} {fence}" if longest else f"`{plain}`"


def _fenced(text: str, language: str) -> str:
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 3)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def as_yaml(value: object) -> str:
    """Write plain data as YAML, in the order given."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
