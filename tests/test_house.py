"""The house is as README and docs/architecture.md draw it: its rooms, its shapes, one name for each class."""

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLENDER = ROOT / "blender"
PACKAGES = {path.parent.name for path in BLENDER.glob("*/__init__.py")}
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


@cache
def definitions():
    """Find the modules that define each class; underscores at a name's beginning make no other name."""
    found = defaultdict(list)
    for path in sorted(BLENDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name.strip("_")].append(str(path.relative_to(ROOT)))
    return found


def test_a_class_name_is_defined_once():
    twice = {name: places for name, places in definitions().items() if len(places) > 1}
    assert not twice


def test_readme_names_every_package_and_no_other():
    layout = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Layout")[2]
    named = [path for row in re.findall(r"^\| (.+?) \|", layout, re.M) for path in re.findall(r"`([^`]+)/`", row)]
    assert all((ROOT / path).is_dir() for path in named)
    assert {path.split("/")[1] for path in named if path.startswith("blender/")} == PACKAGES


def test_the_picture_shows_every_package_and_no_other():
    picture = (ROOT / "docs" / "images" / "house.svg").read_text(encoding="utf-8")
    assert set(re.findall(r'font-size="15"[^>]*>(\w+)<', picture)) == PACKAGES


def shapes(title):
    """Read the table of shapes in a section of docs/architecture.md: name and module of each."""
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", ARCHITECTURE, re.M | re.S)
    return re.findall(r"^\| `(\w+)` \| `(blender/[\w/]+\.py)` \|", section[1] if section else "", re.M)


@pytest.mark.parametrize(
    ("title", "most"), [("From record to tar", 8), ("From tar to loss", 10), ("From request to answer", 7)]
)
def test_the_shapes_of_the_main_path_are_few_and_exist(title, most):
    listed = shapes(title)
    assert 1 < len(listed) <= most
    for name, path in listed:
        body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
        assert name in {node.name for node in body if isinstance(node, ast.ClassDef)}, f"{name} is not in {path}"
