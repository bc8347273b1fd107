"""A small good recipe, and a way to load texts."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from blender.core.errors import Fault, RecipeError
from blender.recipe import Recipe, load_recipe

GOOD = """\
name: good
variables: {data: ./data}
images:
  coco: ${data}/coco
sources:
  llava: {format: llava, files: "${data}/llava.json", images: coco}
  cgd:
    format: mimicit
    files: ["${data}/cgd.json"]
    images: coco
blend:
  - {name: one, from: llava, concatenate: [1, 3]}
  - name: two
    image_match:
      base: cgd
      with: [llava]
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, overrides: Sequence[str] = ()) -> Recipe:
    return load_recipe(write(folder, text), overrides)


def faults_of(folder: Path, text: str, overrides: Sequence[str] = ()) -> list[Fault]:
    with pytest.raises(RecipeError) as caught:
        load(folder, text, overrides)
    return caught.value.faults


def only_fault(folder: Path, text: str, overrides: Sequence[str] = ()) -> str:
    faults = faults_of(folder, text, overrides)
    assert len(faults) == 1, faults
    return str(faults[0])
