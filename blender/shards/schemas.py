"""The JSON Schemas of what a blend leaves on disk, made from the structs that are written."""

import json

import msgspec

from blender.data.sample import Sample
from blender.shards.manifest import Manifest

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_texts() -> dict[str, str]:
    """Return each schema as its file in ``schemas/`` holds it, by file name."""
    return {
        "sample.schema.json": _schema(Sample, "a sample of a blend"),
        "manifest.schema.json": _schema(Manifest, "manifest.json of a blend"),
    }


def _schema(kind: type[msgspec.Struct], title: str) -> str:
    made = {"$schema": _DIALECT, "title": title, **msgspec.json.schema(kind)}
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"
