import json
import tarfile

import jsonschema
import pytest

from blender import load_recipe, write_blend
from blender.recipe.shipped import shipped_folder
from blender.shards.schemas import schema_texts
from tests import corpora


@pytest.mark.parametrize("name", schema_texts())
def test_the_schema_files_are_up_to_date(name):
    """When they are not: python -m blender.shards."""
    assert (shipped_folder("schemas") / name).read_text() == schema_texts()[name]


def test_what_is_written_fits_the_schemas(corpus, tmp_path):
    write_blend(load_recipe(corpora.write_recipe(corpus)), tmp_path / "out", workers=1)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    jsonschema.validate(manifest, json.loads(schema_texts()["manifest.schema.json"]))
    schema = json.loads(schema_texts()["sample.schema.json"])
    with tarfile.open(tmp_path / "out" / manifest["shards"][0]["path"]) as tar:
        for member in tar:
            if member.name.endswith(".json"):
                jsonschema.validate(json.load(tar.extractfile(member)), schema)
