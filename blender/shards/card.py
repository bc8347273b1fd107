"""``README.md`` of a blend: what a person reads, and the header that lets ``datasets`` and the hub's viewer read it.

``datasets`` takes the columns of a folder of tars from the first samples and then refuses samples with other members.
With the features declared in the header, samples may differ in their number of images; an absent image is None.
"""

import polars as pl
import yaml
from msgspec import inspect

from blender.shards.manifest import Manifest, ManifestCount
from blender.shards.sample import Sample


def dataset_card(manifest: Manifest, index: dict[str, pl.DataFrame]) -> str:
    """Write the dataset card of a blend.

    Args:
        manifest: The blend's manifest.
        index: The index of each split.
    """
    header = {
        "pretty_name": manifest.name,
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "tags": ["webdataset", "multi-image", "multi-round"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"{split}/*.tar"} for split, frame in index.items() if frame.height
                ],
            }
        ],
        "dataset_info": {"features": _features(index)},
    }
    front = yaml.safe_dump(header, sort_keys=False, allow_unicode=True, width=120)
    return f"---\n{front}---\n\n{_body(manifest)}"


def _features(index: dict[str, pl.DataFrame]) -> list[dict[str, object]]:
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


def _body(manifest: Manifest) -> str:
    recipe = yaml.safe_dump(manifest.recipe, sort_keys=False, allow_unicode=True, width=120)
    return f"""# {manifest.name}

Interleaved multi-round, multi-image conversations, blended with visualchat {manifest.program}
(template `{manifest.template}`).

{_table(manifest.counts)}

Each sample is `{{key}}.json` (`images`, `turns`, and `spans`: the rendered conversation, `<image>` where features go,
`train` where loss falls) and its images `{{key}}.image1.jpg`, … in the order shown, their bytes untouched.
`ledger.parquet` tells what became of every record read; `{{split}}/index.parquet` where every sample lies.

```python
import datasets

samples = datasets.load_dataset("FOLDER", streaming=True)["train"]
```

## Sources

{_files(manifest)}

## Recipe

```yaml
{recipe}```
"""


def _table(counts: list[ManifestCount]) -> str:
    lines = ["| dataset | split | samples | images | turns |", "|---|---|---:|---:|---:|"]
    lines += [f"| {row.dataset} | {row.split} | {row.samples:,} | {row.images:,} | {row.turns:,} |" for row in counts]
    return "\n".join(lines)


def _files(manifest: Manifest) -> str:
    lines = ["| source | file | records | SHA-256 |", "|---|---|---:|---|"]
    lines += [
        f"| {file.source} | {file.file} | {file.num_records:,} | `{file.sha256[:16]}…` |" for file in manifest.files
    ]
    return "\n".join(lines)
