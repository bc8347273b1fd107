import re

import msgspec
import pytest
import yaml

from blender import load_recipe, open_blend, write_blend
from blender.data.sample import ImageRef, Sample, Turn
from blender.data.template import TEMPLATES
from blender.shards.card import choose_example, dataset_card, is_untouched
from blender.shards.published import published_as
from tests import corpora


@pytest.fixture(scope="module")
def blend(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("card") / "blend"
    write_blend(load_recipe(corpora.write_recipe(corpus)), folder, workers=1)
    return open_blend(folder)


def index_of(blend):
    return {split: blend.index.filter(split=split) for split in ("train", "eval")}


@pytest.fixture(scope="module")
def card(blend):
    return dataset_card(blend.manifest, index_of(blend), choose_example(str(blend.path), index_of(blend)))


def header_of(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_header_is_what_the_hub_expects(blend, card):
    header = header_of(card)
    assert header["configs"][0]["data_files"] == [
        {"split": "train", "path": "train/*.tar"},
        {"split": "eval", "path": "eval/*.tar"},
    ]
    assert header["size_categories"] == ["n<1K"]
    assert (header["license"], header["license_link"]) == ("other", "README.md")
    assert "language" not in header, "these files are of no published dataset"


def test_counts_add_up(blend, card):
    (total,) = re.findall(r"\| in all \| train \| (\d+) \|", card)
    assert int(total) == blend.index.filter(split="train").height


def test_the_example_is_a_sample_with_what_is_trained_marked(blend, card):
    example = choose_example(str(blend.path), index_of(blend))
    assert len(example.images) > 1
    assert len(example.turns) > 1
    assert f"`{example.key}` of {example.dataset}" in card
    for turn in example.turns:
        assert f"[[{turn.answer}]]" in card


def test_dropped_records_and_rewritten_references_are_told(blend, card):
    ledger = blend.manifest.ledger
    assert f"{ledger['read']:,} records were read; {ledger['emitted']:,} of them" in card
    assert f"{ledger['references_rewritten']:,} references to images were renumbered" in card
    assert "Train and eval share no image, whatever its names" in card


def test_the_card_of_a_blend_of_an_older_layout_promises_no_more_than_was_done(blend):
    older = msgspec.structs.replace(blend.manifest, layout=1)
    assert "share no image by name" in dataset_card(older, index_of(blend), None)


def test_a_card_knows_whether_somebody_wrote_on_it(card):
    assert is_untouched(card)
    assert not is_untouched(card.replace("## Limits", "## Limits, and my own words"))
    assert not is_untouched(card + "\nMore of my own.\n")
    assert not is_untouched("# mine\n")


@pytest.mark.parametrize(
    ("file", "format", "name"),
    [
        ("detail_23k.json", "llava", "LLaVA-Instruct-150K"),
        ("llava/conversation_58k.json", "llava", "LLaVA-Instruct-150K"),
        ("llava_v1_5_mix665k.json", "llava", "LLaVA v1.5 mix"),
        ("CGD_instructions.json", "mimicit", "MIMIC-IT"),
        ("SparklesDialogueVG.json", "sparkles", "SparklesDialogue"),
        ("dataset.json", "ocr_vqa", "OCR-VQA"),
        ("dataset.json", "coco_caption", "COCO captions"),
        ("filter_cap.json.gz", "minigpt4", "cc_sbu_align"),
        ("dataset.json", "llava", None),
        ("my_detail_23k.json", "llava", None),
    ],
)
def test_published_datasets_are_told_by_the_names_of_their_files(file, format, name):
    known = published_as(file, format)
    assert (known and known.name) == name


def test_licences_are_named_where_they_are_known(own_corpus, tmp_path):
    (own_corpus / "detail_23k.json").write_text((own_corpus / "detail.json").read_text())

    def use_published_names(recipe):
        recipe["sources"]["llava"]["files"] = [f"{own_corpus.as_posix()}/detail_23k.json"]
        recipe["blend"] = recipe["blend"][:1]

    write_blend(load_recipe(corpora.write_recipe(own_corpus, use_published_names)), tmp_path / "blend", workers=1)
    card = (tmp_path / "blend" / "README.md").read_text()
    assert "LLaVA-Instruct-150K](https://" in card
    assert "Language models wrote the texts of LLaVA-Instruct-150K" in card
    assert header_of(card)["language"] == ["en"]


NASTY = "``` </details> <script>alert(1)</script> | [x](javascript:1) ````"


def test_texts_and_names_of_strangers_stay_text(blend):
    turns = [Turn([1], NASTY, f"{NASTY}\n```\n# heading", 0)]
    template = TEMPLATES["plain"]
    image = ImageRef("s", "a`b|c.jpg", 1, 1)
    sample = Sample("k", "d", [f"s/f/{NASTY}"], [image], turns, "plain", template.render(turns))
    card = dataset_card(blend.manifest, index_of(blend), sample)
    example = card[card.index("## Example") : card.index("## Sources")]
    fence = re.search(r"^(`{4,})text$", example, re.MULTILINE).group(1)
    assert len(fence) > 4, "longer than any run of backticks in the text"
    inside, outside = example.split(f"{fence}text\n")[1].split(f"\n{fence}\n")[0], example.split(f"\n{fence}\n")[1]
    assert NASTY in inside
    assert re.search(r"(`{5,}) .*<script>.* \1", outside)
    assert "a`b|c.jpg" not in example, "a bar would end the table's cell"
