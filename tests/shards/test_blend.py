"""What a blend leaves on disk."""

import collections
import json
import tarfile

import msgspec
import polars as pl
import pytest

from blender import load_recipe, open_blend, verify_blend, write_blend
from blender.core.errors import FolderError, PlanError, RecipeError, ShardError
from blender.data.sample import Sample
from tests import corpora


@pytest.fixture(scope="module")
def recipe(corpus):
    return load_recipe(corpora.write_recipe(corpus))


@pytest.fixture(scope="module")
def blend(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("blend")
    write_blend(recipe, folder, workers=1)
    return open_blend(folder)


def test_the_folder_holds_what_the_design_says(blend):
    names = {path.split("-")[0] for path in corpora.contents(blend.path)}
    assert names == {
        *("manifest.json", "ledger.parquet", "README.md"),
        *("train/train", "train/index.parquet", "eval/eval", "eval/index.parquet"),
    }


def test_every_shard_is_a_tar_of_samples_json_first_and_images_in_order(blend):
    keys = []
    for shard in blend.manifest.shards:
        with tarfile.open(blend.path / shard.path) as tar:
            members = tar.getmembers()
            for member in members:
                assert (member.uid, member.gid, member.mtime, member.mode) == (0, 0, 0, 0o644)
            groups = collections.defaultdict(list)
            for member in members:
                key, _, rest = member.name.partition(".")
                groups[key].append(rest)
            for key, rests in groups.items():
                sample = msgspec.json.decode(tar.extractfile(f"{key}.json").read(), type=Sample)
                assert rests == ["json", *(f"image{n}.jpg" for n in range(1, len(sample.images) + 1))]
                assert sample.key == key
                for place, image in enumerate(sample.images, 1):
                    stored = tar.extractfile(f"{key}.image{place}.jpg").read()
                    root = "sparkles" if image.store == "sparkles" else "coco"
                    assert stored == (blend_source(blend) / root / image.name).read_bytes()
            keys += groups
    assert keys == sorted(keys, key=lambda key: (key.split("-")[0] != "train", key))
    assert len(keys) == blend.manifest.num_samples


def blend_source(blend):
    from pathlib import Path

    return Path(blend.manifest.recipe["images"]["coco"]).parent


def test_an_indexed_read_gives_what_the_tar_holds(blend):
    for number in range(len(blend)):
        stored = blend[number]
        with tarfile.open(blend.path / stored.shard) as tar:
            assert json.load(tar.extractfile(f"{stored.sample.key}.json"))["key"] == stored.sample.key
            assert tar.extractfile(f"{stored.sample.key}.image1.jpg").read() == stored.images[0]
        assert blend[stored.sample.key].sample == stored.sample


def test_the_ledger_accounts_for_every_record(blend, corpus):
    records = sum(
        len(json.loads((corpus / f"{name}.json").read_text()))
        for name in ("detail", "complex", "conversation", "sparkles")
    )
    records += len(json.loads((corpus / "cgd.json").read_text())["data"])
    ledger = blend.ledger
    assert ledger.height == records == blend.manifest.ledger["read"]
    assert (ledger["num_samples"].eq(0) == ledger["reason"].is_not_null()).all()
    uses = collections.Counter(source for stored in blend for source in stored.sample.sources)
    told = {
        f"{row['source']}/{row['file']}/{row['record']}": row["num_samples"] for row in ledger.iter_rows(named=True)
    }
    assert {name: count for name, count in told.items() if count} == uses


def test_every_llava_record_is_in_exactly_one_llava_sample(blend):
    rows = blend.ledger.filter(pl.col("source") == "llava").iter_rows(named=True)
    for row in rows:
        own = [use for use in row["emitted"] if use["dataset"] == "llava"]
        assert [use["samples"] for use in own] == [1]


def test_train_and_eval_share_no_image(blend):
    sides = collections.defaultdict(set)
    for stored in blend:
        sides[stored.split] |= {(image.store, image.name) for image in stored.sample.images}
    assert sides["train"] and sides["eval"]
    assert not sides["train"] & sides["eval"]


def test_references_name_the_image_that_the_record_showed(blend):
    seen = 0
    for stored in blend:
        sample, shown = stored.sample, 0
        for turn in sample.turns:
            shown += len(turn.images)
            if "complex.json" in sample.sources[turn.source] and "Look at" in turn.question:
                number = shown
                said = "the first image" if number == 1 else f"image {number}"
                assert f"Look at {said}." in turn.question, turn
                assert f"Look at {said}." in turn.answer, turn
                seen += number > 1
    assert seen
    rewritten = blend.ledger.filter(pl.col("file") == "complex.json")["references_rewritten"].sum()
    assert rewritten == blend.manifest.ledger["references_rewritten"] == 2 * seen


def test_spans_are_the_rendered_turns(blend):
    for stored in blend:
        sample = stored.sample
        assert [span.text for span in sample.spans if span.train] == [turn.answer for turn in sample.turns]
        assert sum(span.text.count("<image>") for span in sample.spans) == len(sample.images)


@pytest.mark.parametrize("workers", [2, 4])
def test_shards_are_the_same_bytes_for_any_number_of_workers(blend, recipe, tmp_path, workers):
    write_blend(recipe, tmp_path / "blend", workers=workers)
    assert corpora.contents(tmp_path / "blend") == corpora.contents(blend.path)


def test_running_again_writes_nothing(blend, recipe):
    before = corpora.contents(blend.path)
    assert write_blend(recipe, blend.path).num_new_shards == 0
    assert corpora.contents(blend.path) == before


def test_inputs_that_moved_are_the_same_inputs(own_corpus, tmp_path):
    out = tmp_path / "out"
    write_blend(load_recipe(corpora.write_recipe(own_corpus)), out, workers=1)
    moved = own_corpus.rename(tmp_path / "moved")
    assert write_blend(load_recipe(corpora.write_recipe(moved)), out, workers=1).num_new_shards == 0


def test_a_damaged_shard_is_written_again(recipe, tmp_path, blend):
    write_blend(recipe, tmp_path / "out", workers=1)
    shard = tmp_path / "out" / blend.manifest.shards[0].path
    shard.unlink()
    assert write_blend(recipe, tmp_path / "out", workers=1).num_new_shards > 0
    assert corpora.contents(tmp_path / "out") == corpora.contents(blend.path)


def test_another_recipe_is_refused_unless_it_may_overwrite(recipe, corpus, tmp_path, blend):
    out = tmp_path / "out"
    write_blend(recipe, out, workers=1)
    other = load_recipe(corpora.write_recipe(corpus), ["seed=8"])
    before = corpora.contents(out)
    with pytest.raises(FolderError, match="another recipe"):
        write_blend(other, out, workers=1)
    assert corpora.contents(out) == before
    write_blend(other, out, workers=1, overwrite=True)
    assert not [problem for verdict in verify_blend(out) for problem in verdict.problems]


def test_a_changed_image_is_another_input(own_corpus, tmp_path):
    recipe = load_recipe(corpora.write_recipe(own_corpus))
    write_blend(recipe, tmp_path / "out", workers=1)
    corpora.draw(own_corpus / "coco" / corpora.coco_name(3), 3, size=(300, 200))
    with pytest.raises(FolderError, match="inputs that have changed"):
        write_blend(recipe, tmp_path / "out", workers=1)


def test_a_folder_with_something_else_is_left_alone(recipe, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(FolderError, match=r"holds something else than a blend: thesis\.tex"):
            write_blend(recipe, tmp_path, overwrite=overwrite)
    assert corpora.contents(tmp_path) == {"thesis.tex": b"precious"}


def test_a_blend_that_fails_before_it_writes_leaves_no_folder(own_corpus, tmp_path):
    recipe = load_recipe(corpora.write_recipe(own_corpus))
    for name in ("coco", "sparkles"):
        (own_corpus / name).rename(own_corpus / f"{name}-elsewhere")
    with pytest.raises(RecipeError):
        write_blend(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_left_to_blend_is_an_error_with_the_reasons(own_corpus, tmp_path):
    for image in (own_corpus / "coco").iterdir():
        image.write_bytes(b"")
    for image in (own_corpus / "sparkles").iterdir():
        image.unlink()
    with pytest.raises(PlanError, match=r"nothing is left to blend .*image_empty.*image_missing"):
        write_blend(load_recipe(corpora.write_recipe(own_corpus)), tmp_path / "out")


def test_the_card_declares_every_member(blend):
    import yaml

    header = yaml.safe_load((blend.path / "README.md").read_text().split("---\n")[1])
    names = [feature["name"] for feature in header["dataset_info"]["features"]]
    most = max(len(stored.images) for stored in blend)
    assert names == ["__key__", "__url__", "json", *(f"image{n}.jpg" for n in range(1, most + 1))]


def test_names_that_look_like_patterns_are_names(tmp_path, blend):
    corpus = corpora.write_corpus(tmp_path / "data [v2] {a,b}")
    out = tmp_path / "out [v2] *?"
    recipe = load_recipe(corpora.write_recipe(corpus))
    assert write_blend(recipe, out, workers=1).manifest.shards == blend.manifest.shards
    assert write_blend(recipe, out, workers=1).num_new_shards == 0
    read = open_blend(out)
    assert read.ledger.height == blend.ledger.height
    assert [stored.sample.key for stored in read] == [stored.sample.key for stored in blend]
    assert not [problem for verdict in verify_blend(out) for problem in verdict.problems]
    (out / "manifest.json").write_bytes(b"")
    with pytest.raises(ShardError, match="cannot be read"):
        write_blend(recipe, out, workers=1)
    write_blend(recipe, out, workers=1, overwrite=True)
