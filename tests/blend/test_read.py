"""Parts: annotation files that were read are not read again, unless something has changed."""

import os

import pytest

from blender import load_recipe
from blender.blend.plan import PlanProgress, make_plan
from tests import corpora


@pytest.fixture
def plan_in(corpus, tmp_path):
    def plan(*overrides):
        recipe = load_recipe(corpora.write_recipe(corpus), list(overrides))
        return make_plan(recipe, tmp_path / "parts", look=False, progress=PlanProgress())

    (tmp_path / "parts").mkdir()
    return plan


def times(folder):
    return {file.name: file.stat().st_mtime_ns for file in folder.glob("*.texts.arrow")}


def test_a_part_that_was_read_is_kept_and_gives_the_same_plan(plan_in, tmp_path):
    first = plan_in()
    before = times(tmp_path / "parts")
    again = plan_in()
    assert times(tmp_path / "parts") == before
    assert again.fingerprint == first.fingerprint
    assert again.samples.equals(first.samples)


def test_a_part_without_its_note_or_of_a_changed_file_is_read_again(plan_in, tmp_path):
    first = plan_in()
    before, parts = times(tmp_path / "parts"), tmp_path / "parts"
    (parts / "0000.json").unlink()
    (parts / "0000.texts.arrow").write_bytes(b"half of a")
    os.utime(first.tables.files[1].path, ns=(1, 1))
    again = plan_in()
    changed = {name for name, time in times(parts).items() if time != before[name]}
    assert changed == {"0000.texts.arrow", "0001.texts.arrow"}
    assert again.samples.equals(first.samples)
    assert again.ledger().equals(first.ledger())
