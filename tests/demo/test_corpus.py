"""The folder: official layouts, the same bytes every time, and no damage to what is there."""

import hashlib
import json
import os
import re
from collections import Counter
from itertools import chain

import pytest
from PIL import Image

from blender.core.errors import FolderError
from blender.data.records import Conversation
from blender.data.references import find_unclear_reference
from blender.data.sources import read_file
from blender.demo import CorpusError, draw_corpus
from tests.demo.conftest import NUM_IMAGES

SOURCES = {
    "llava/detail_23k.json": "llava",
    "llava/complex_reasoning_77k.json": "llava",
    "llava/conversation_58k.json": "llava",
    "MIMIC-IT/CGD_instructions.json": "mimicit",
    "SparklesDialogueCC/annotations/SparklesDialogueCC.json": "sparkles",
    "SparklesDialogueVG/annotations/SparklesDialogueVG.json": "sparkles",
}
SPARKLES = [name for name, format in SOURCES.items() if format == "sparkles"]


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def pictures(folder):
    return {name: digest for name, digest in digests(folder).items() if name.endswith(".jpg")}


def conversations(drawn, name):
    read = list(read_file(SOURCES[name], str(drawn.folder / name)))
    assert read and all(isinstance(each, Conversation) for each in read), "nothing is skipped"
    return read


def test_one_and_three_workers_draw_the_same_bytes(drawn, tmp_path):
    draw_corpus(tmp_path, NUM_IMAGES, seed=5, workers=3)
    assert digests(tmp_path) == digests(drawn.folder)


def test_a_larger_corpus_has_the_same_pictures_and_more(drawn, tmp_path):
    draw_corpus(tmp_path, 40, seed=5, workers=1)
    assert pictures(tmp_path).items() <= pictures(drawn.folder).items()


def test_another_seed_draws_other_pictures(drawn, tmp_path):
    draw_corpus(tmp_path, 8, seed=6, workers=1)
    assert not set(pictures(tmp_path).values()) & set(pictures(drawn.folder).values())


def test_pictures_are_jpegs_of_the_size_that_the_scene_says(drawn):
    scenes = drawn.scenes()
    folders = {"coco": "coco/train2017", "sparkles_cc": "SparklesDialogueCC/images"}
    folders["sparkles_vg"] = "SparklesDialogueVG/images"
    paths = {drawn.folder / folders[store] / name: scene for (store, name), scene in scenes.items()}
    assert set(paths) == set(drawn.folder.rglob("*.jpg")) and len(paths) == NUM_IMAGES
    for path, scene in paths.items():
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (scene["width"], scene["height"]))
    sizes = sorted(path.stat().st_size for path in paths)
    assert sizes[0] > 10_000 and 25_000 < sizes[NUM_IMAGES // 2] < 80_000 and sizes[-1] < 160_000


@pytest.mark.parametrize("name", SOURCES)
def test_our_readers_read_every_record(drawn, name):
    known = {scene for _, scene in drawn.scenes()} | {scene.removesuffix(".jpg") for _, scene in drawn.scenes()}
    for each in conversations(drawn, name):
        assert all(image in known for image in each.images)


def test_the_summary_counts_what_is_there(drawn):
    summary = drawn.summary
    assert summary.num_images == NUM_IMAGES
    assert summary.num_coco + summary.num_sparkles_cc + summary.num_sparkles_vg == NUM_IMAGES
    assert 0.7 < summary.num_coco / NUM_IMAGES < 0.8
    assert summary.num_detail == len(drawn.read("llava/detail_23k.json"))
    assert summary.num_cgd_instructions == len(drawn.read("MIMIC-IT/CGD_instructions.json")["data"])
    assert [summary.num_dialogues_cc, summary.num_dialogues_vg] == [len(drawn.read(name)) for name in SPARKLES]
    assert summary.num_questions == len(drawn.read("questions.json"))


def test_llava_tags_stand_at_the_head_or_the_tail_of_the_first_question_alone(drawn):
    seen = Counter()
    for name in [name for name, format in SOURCES.items() if format == "llava"]:
        for record in drawn.read(name):
            first, *rest = [turn["value"] for turn in record["conversations"]]
            assert first.startswith("<image>\n") != first.endswith("\n<image>")
            assert not any("<image>" in text for text in rest)
            assert record["image"] == f"{record['id']}.jpg"
            seen[first.startswith("<image>")] += 1
    assert min(seen[True], seen[False]) > 20


def test_cgd_instructions_of_a_pair_name_each_other_and_nothing_else(drawn):
    data = drawn.read("MIMIC-IT/CGD_instructions.json")["data"]
    by_pair = {}
    for id, entry in data.items():
        by_pair.setdefault(tuple(entry["image_ids"]), []).append(id)
    for ids in by_pair.values():
        assert 1 <= len(ids) <= 3
        assert all(set(data[id]["rel_ins_ids"]) == set(ids) - {id} for id in ids)
    assert len(by_pair) == drawn.summary.num_cgd_pairs
    digits = Counter(len(image.removeprefix("CGD_IMG_")) for pair in by_pair for image in pair)
    assert digits[12] > digits[16] > 0 and set(digits) == {12, 16}


def test_most_first_pictures_of_pairs_occur_in_llava_and_some_second_ones_nowhere_else(drawn):
    told = {record["image"] for name, format in SOURCES.items() if format == "llava" for record in drawn.read(name)}
    pairs = [each.images for each in conversations(drawn, "MIMIC-IT/CGD_instructions.json")]
    share = sum(first in told for first, _ in pairs) / len(pairs)
    assert 0.7 < share < 1
    assert any(second not in told for _, second in pairs)


def test_pictures_that_share_a_text_form_small_groups(drawn):
    group = {}
    for each in chain.from_iterable(conversations(drawn, name) for name in SOURCES):
        images = each.images
        joined = set(images).union(*(group.get(image, ()) for image in images))
        group |= {image: joined for image in joined}
    assert max(map(len, group.values())) <= 5


def test_the_instructions_can_stand_behind_other_images(drawn):
    for each in conversations(drawn, "MIMIC-IT/CGD_instructions.json"):
        for turn in each.turns:
            assert find_unclear_reference(turn.question, 2) is None and find_unclear_reference(turn.answer, 2) is None


@pytest.mark.parametrize("name", SPARKLES)
def test_dialogues_show_every_picture_once_with_the_sign_and_call_it_by_its_id_later(drawn, name):
    kind, late, sizes = int if "VG" in name else str, 0, set()
    for record in drawn.read(name):
        shown = []
        for turn in record["dialogue"]:
            new = [image["image_id"] for image in turn.get("images", [])]
            assert all(type(id) is kind for id in new)
            late += bool(shown and new)
            signed = re.findall(r"IMAGE#(\d+)<Img><ImageHere></Img>", turn["content"])
            assert sorted(signed) == sorted(map(str, new))
            shown += map(str, new)
            assert set(re.findall(r"IMAGE#(\d+)", turn["content"])) <= set(shown)
        assert len(shown) == len(set(shown))
        assert len(record["dialogue"]) in (4, 6)
        sizes.add(len(shown))
    assert late and sizes <= {2, 3, 4} and len(sizes) > 1


@pytest.mark.parametrize(("num_images", "seed"), [(8, 0), (8, 1), (9, 2), (31, 0), (33, 1), (37, 2), (38, 0)])
def test_any_number_of_pictures_gives_every_file_an_entry(tmp_path, num_images, seed):
    summary = draw_corpus(tmp_path, num_images, seed=seed, workers=1)
    assert min(vars(summary).values()) > 0 and len(pictures(tmp_path)) == num_images


@pytest.mark.parametrize(("asked", "words"), [({"num_images": 7}, "7 pictures"), ({"seed": -1}, "negative")])
def test_a_senseless_request_is_refused(tmp_path, asked, words):
    with pytest.raises(CorpusError, match=words):
        draw_corpus(tmp_path, **asked)
    assert not list(tmp_path.iterdir())


def test_a_finished_corpus_is_not_drawn_again(tmp_path):
    summary = draw_corpus(tmp_path, 8)
    picture = next(tmp_path.rglob("*.jpg"))
    os.utime(picture, (1, 1))
    assert draw_corpus(tmp_path, 8) == summary
    assert picture.stat().st_mtime == 1


def test_an_interrupted_corpus_is_completed_and_a_smaller_one_grows(tmp_path):
    draw_corpus(tmp_path / "whole", 40)
    draw_corpus(tmp_path / "other", 24)
    state = tmp_path / "other" / "corpus.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "summary": None}))
    next((tmp_path / "other").rglob("*.jpg")).write_bytes(b"half a pic")
    draw_corpus(tmp_path / "other", 40)
    assert digests(tmp_path / "other") == digests(tmp_path / "whole")


@pytest.mark.parametrize("asked", [{"num_images": 8}, {"num_images": 16, "seed": 1}])
def test_another_corpus_in_the_folder_is_left_alone(tmp_path, asked):
    draw_corpus(tmp_path, 16)
    before = digests(tmp_path)
    with pytest.raises(FolderError, match="16 pictures of seed 0"):
        draw_corpus(tmp_path, **asked)
    assert digests(tmp_path) == before


def test_a_folder_with_real_data_is_left_alone(tmp_path):
    (tmp_path / "coco" / "train2017").mkdir(parents=True)
    with pytest.raises(FolderError, match="already holds coco"):
        draw_corpus(tmp_path, 8)
    assert [path.name for path in tmp_path.iterdir()] == ["coco"]


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FolderError, match="cannot draw a corpus into .*file"):
        draw_corpus(tmp_path / "file", 8)
