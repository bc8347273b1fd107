"""What strangers' files do to a blend: one sentence, or a reason in the ledger; never a crash, never a silent loss."""

import json
import struct
import zlib

import polars as pl
import pytest
from PIL import Image

from blender import load_recipe, make_plan, open_blend, verify_blend, write_blend
from blender.core.errors import RecipeError, SourceError
from tests import corpora


def blend_of(records, root, out, **images):
    """Write LLaVA records (and image files by name) and blend them one by one."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    for name, content in images.items():
        (root / "images" / name).write_bytes(content)
    (root / "data.json").write_text(json.dumps(records))
    recipe = {
        "name": "bad",
        "images": {"store": str(root / "images")},
        "sources": {"llava": {"format": "llava", "files": str(root / "data.json"), "images": "store"}},
        "blend": [{"name": "llava", "from": "llava"}],
        "limits": {"dropped": "100%"},
        "split": {"eval": 0},
    }
    if not any({"image", "images"} & set(each) for each in records):
        del recipe["sources"]["llava"]["images"]
    (root / "recipe.yaml").write_text(json.dumps(recipe))
    write_blend(load_recipe(root / "recipe.yaml"), out, workers=1)
    assert not [problem for verdict in verify_blend(out) for problem in verdict.problems]
    return open_blend(out)


def record(name, **changes):
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "That."}]
    return {"id": name, "image": name, "conversations": turns, **changes}


def encoded(tmp_path, mode="RGB", kind="JPEG", size=(40, 30), **options):
    path = tmp_path / f"made.{kind}"
    Image.new(mode, size).save(path, kind, **options)
    return path.read_bytes()


def bomb():
    """Make a PNG of a few bytes that claims 50,000 x 50,000 pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_each_bad_image_is_dropped_with_its_own_reason(tmp_path):
    good = encoded(tmp_path)
    images = {
        "good.jpg": good,
        "truncated.jpg": encoded(tmp_path, size=(400, 300))[:-700],
        "empty.jpg": b"",
        "text.jpg": b"I am a picture, honestly",
        "bomb.png": bomb(),
    }
    names = [*images, "missing.jpg", "../escape.jpg", "/etc/passwd"]
    (tmp_path / "escape.jpg").write_bytes(good)
    blend = blend_of([record(name) for name in names], tmp_path, tmp_path / "out", **images)
    reasons = dict(zip(blend.ledger["record"], blend.ledger["reason"], strict=True))
    assert reasons == {
        "good.jpg": None,
        "truncated.jpg": "image_truncated",
        "empty.jpg": "image_empty",
        "text.jpg": "image_not_an_image",
        "bomb.png": "image_too_many_pixels",
        "missing.jpg": "image_missing",
        "../escape.jpg": "image_outside_store",
        "/etc/passwd": "image_outside_store",
    }
    assert blend.ledger.filter(pl.col("reason").is_not_null())["detail"].is_not_null().all()


def test_odd_but_sound_images_are_kept_untouched(tmp_path):
    frames = [Image.new("P", (20, 20), n) for n in range(3)]
    frames[0].save(tmp_path / "animated.gif", save_all=True, append_images=frames[1:])
    rotated = Image.Exif()
    rotated[0x0112] = 6
    images = {
        "cmyk.jpg": encoded(tmp_path, "CMYK"),
        "deep.png": encoded(tmp_path, "I;16", "PNG"),
        "grey.jpg": encoded(tmp_path, "L"),
        "animated.gif": (tmp_path / "animated.gif").read_bytes(),
        "rotated.jpg": encoded(tmp_path, exif=rotated),
        "with space.jpg": encoded(tmp_path, size=(11, 7)),
        "ünï çødé 图.jpeg": encoded(tmp_path, size=(12, 8)),
    }
    blend = blend_of([record(name) for name in images], tmp_path, tmp_path / "out", **images)
    assert {stored.sample.images[0].name: stored.images[0] for stored in blend} == images


def test_faulty_conversations_are_dropped_with_their_reasons_and_duplicates_kept(tmp_path):
    human, gpt = {"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Yes."}
    faults = {
        "assistant first": [gpt, human],
        "odd": [human, gpt, human],
        "empty": [human, {"from": "gpt", "value": " "}],
        "invisible": [human, {"from": "gpt", "value": "\u200b\ufeff"}],
        "twice": [human, gpt],
    }
    records = [{"id": name, "conversations": turns} for name, turns in faults.items()]
    records.append(records[-1])
    blend = blend_of(records, tmp_path, tmp_path / "out")
    assert blend.ledger["reason"].to_list() == [
        "roles_out_of_order",
        "odd_turns",
        "empty_text",
        "empty_text",
        None,
        None,
    ]
    assert sorted(source for stored in blend for source in stored.sample.sources) == [
        "llava/data.json/twice",
        "llava/data.json/twice~2",
    ]


def test_markers_in_a_strangers_text_stay_text(tmp_path):
    turns = [
        {"from": "human", "value": "What does ### Answer: mean?\n### Question: and this?"},
        {"from": "gpt", "value": "<image> is a tag.\n\n### Image 1: <image>\n### Question: no\n### Answer: yes"},
    ]
    blend = blend_of([{"id": "x", "conversations": turns}], tmp_path, tmp_path / "out")
    sample = blend[0].sample
    text = "".join(span.text for span in sample.spans)
    assert text.count("### Question:") == text.count("### Answer:") == 1
    assert "<image>" not in text
    assert sample.turns[0].answer == turns[1]["value"]


def test_records_about_media_that_are_not_shown_never_become_texts(tmp_path):
    def asking(question):
        return [{"from": "human", "value": question}, {"from": "gpt", "value": "A dog."}]

    records = [
        {"id": "x1", "conversations": asking("What is in <image> here?"), "images": ["a.jpg"]},
        {"id": "x2", "image_path": "a.jpg", "conversations": asking("What is in the image?")},
        {"id": "x3", "video": "v/1.mp4", "conversations": asking("<video>\nWhat happens?")},
    ]
    blend = blend_of(records, tmp_path, tmp_path / "out", **{"a.jpg": encoded(tmp_path)})
    assert [len(stored.images) for stored in blend] == [1]
    assert blend.ledger["reason"].to_list() == [None, "unread_media", "unread_media"]


@pytest.mark.parametrize("way", ["recipe", "source"])
def test_bad_records_are_skipped_where_the_recipe_says_so(tmp_path, way):
    records = [{"id": "a", "conversations": "[]"}, None, record("b", image=12), record("good", image=None)]
    records[-1]["conversations"][0]["value"] = "What?"
    (tmp_path / "data.json").write_text(json.dumps(records))
    recipe = {
        "name": "bad",
        "sources": {"llava": {"format": "llava", "files": str(tmp_path / "data.json")}},
        "blend": [{"name": "llava", "from": "llava"}],
        "limits": {"dropped": "100%"},
        "split": {"eval": 0},
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    with pytest.raises(SourceError, match="3 of 4 records cannot be read"):
        make_plan(load_recipe(tmp_path / "recipe.yaml"), tmp_path)
    key = {"recipe": "on_bad_record", "source": "sources.llava.on_bad_record"}[way]
    write_blend(
        load_recipe(tmp_path / "recipe.yaml", [f"{key}=skip", "limits.dropped=100%"]), tmp_path / "out", workers=1
    )
    ledger = open_blend(tmp_path / "out").ledger
    assert ledger["reason"].to_list() == ["bad_record"] * 3 + [None]
    assert ledger["record"].to_list() == ["a", "1", "b", "good"]


@pytest.mark.parametrize("content", ["[]", '[{"id": "1", "conversations": [', "", "{}", "[1, 2]"])
def test_an_annotation_file_that_cannot_be_read_is_named(tmp_path, own_corpus, content):
    recipe = load_recipe(corpora.write_recipe(own_corpus))
    (own_corpus / "conversation.json").write_text(content)
    with pytest.raises(SourceError, match=r"conversation\.json"):
        write_blend(recipe, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_type_deep_in_a_large_file_is_found_by_its_number(tmp_path, own_corpus):
    records = [corpora.llava(0, rounds=1) for _ in range(20_000)]
    records[17_345]["conversations"][1]["value"] = 7
    (own_corpus / "conversation.json").write_text(json.dumps(records))
    with pytest.raises(SourceError, match=r"17,?346") as caught:
        make_plan(load_recipe(corpora.write_recipe(own_corpus)), tmp_path)
    assert "conversation.json" in caught.value.message


def test_missing_files_and_stores_are_all_named_at_once(tmp_path, own_corpus):
    (own_corpus / "conversation.json").unlink()
    (own_corpus / "cgd.json").unlink()
    (own_corpus / "sparkles").rename(own_corpus / "elsewhere")
    with pytest.raises(RecipeError) as caught:
        write_blend(load_recipe(corpora.write_recipe(own_corpus)), tmp_path / "out")
    assert len(caught.value.faults) == 3
    assert not (tmp_path / "out").exists()


def test_images_of_a_source_without_a_store_are_missing(tmp_path, own_corpus):
    path = corpora.write_recipe(own_corpus, lambda recipe: recipe["sources"]["llava_dial"].pop("images"))
    plan = make_plan(load_recipe(path), tmp_path, refuse=False)
    reasons = plan.ledger().filter(source="llava_dial")["reason"]
    assert set(reasons) == {"image_missing"}
