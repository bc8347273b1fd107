"""How often an entry is drawn, and what limits do, over a small corpus on disk."""

import json

import polars as pl
import pytest

from blender import load_recipe, make_plan, summarise
from blender.blend.ledger import totals
from tests import corpora


def plan_of(corpus, folder, *overrides, change=None, refuse=True):
    recipe = load_recipe(corpora.write_recipe(corpus, change), ["split.eval=0", *overrides])
    return make_plan(recipe, folder, refuse=refuse)


def of(plan, dataset):
    return plan.samples.filter(pl.col("dataset") == dataset)


def uses(plan, dataset):
    """Count how often each conversation of a dataset is used."""
    turns = of(plan, dataset)["turns"].explode()
    return plan.tables.turns["conversation"].gather(turns).value_counts().sort("conversation")["count"].to_list()


def test_whole_copies_then_a_part_without_replacement(corpus, tmp_path):
    once = plan_of(corpus, tmp_path)
    plan = plan_of(corpus, tmp_path, "blend.sparkles.repeat=2.34")
    assert of(once, "sparkles").height == 3
    assert of(plan, "sparkles").height == 7
    assert sorted(uses(plan, "sparkles")) == [2 * 2, 2 * 2, 3 * 2]


def test_every_copy_of_a_random_blend_is_drawn_afresh(corpus, tmp_path):
    plan = plan_of(corpus, tmp_path, "blend.llava.repeat=2")
    groups = [tuple(sorted(turns)) for turns in of(plan, "llava")["turns"].to_list()]
    assert len(set(groups)) > 0.6 * len(groups)
    assert set(uses(plan, "llava")) == {2}


@pytest.mark.parametrize("wanted", [1, 5, 20, 77])
def test_a_number_of_samples_is_met_exactly(corpus, tmp_path, wanted):
    plan = plan_of(corpus, tmp_path, f"blend.llava_dial.samples={wanted}", "split.eval=0.2")
    assert of(plan, "llava_dial").height == wanted


def test_a_share_takes_that_part_and_the_rest_is_in_the_ledger(corpus, tmp_path):
    plan = plan_of(corpus, tmp_path, 'blend.sparkles.samples="34%"')
    assert of(plan, "sparkles").height == 1
    ahead = plan.totals
    assert ahead == totals(plan.ledger())
    assert ahead["dropped"] == {"not_drawn": 2}


def test_eval_samples_come_once_however_often_train_repeats(corpus, tmp_path):
    once = plan_of(corpus, tmp_path, "split.eval=0.3")
    plan = plan_of(corpus, tmp_path, "split.eval=0.3", "blend.llava.repeat=3")
    single, triple = (dict(of(p, "llava")["split"].value_counts().iter_rows()) for p in (once, plan))
    assert triple["eval"] == single["eval"]
    assert triple["train"] > 2.5 * single["train"]


def test_changing_one_entry_leaves_the_others_draws_alone(corpus, tmp_path):
    plans = [plan_of(corpus, tmp_path), plan_of(corpus, tmp_path, "blend.llava.repeat=2")]
    drawn = [sorted(of(plan, "llava_otter_blend")["turns"].to_list()) for plan in plans]
    assert drawn[0] == drawn[1]


def test_another_seed_draws_otherwise(corpus, tmp_path):
    plans = [plan_of(corpus, tmp_path, f"seed={seed}") for seed in (1, 2)]
    assert plans[0].samples["turns"].to_list() != plans[1].samples["turns"].to_list()


def test_limits_of_images_and_characters_hold(corpus, tmp_path):
    plan = plan_of(corpus, tmp_path, "limits.images=2", "limits.characters=200", refuse=False)
    assert plan.samples["images"].list.len().max() <= 2
    characters = plan.tables.turns["characters"]
    assert max(sum(characters.gather(turns)) for turns in plan.samples["turns"].to_list()) <= 200
    dropped = totals(plan.ledger())["dropped"]
    assert dropped == plan.totals["dropped"]
    assert dropped["too_many_images"] == 3


def test_limits_in_tokens_count_images_too(corpus, tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    limits = {"tokens": 155, "tokenizer": str(tmp_path / "tokenizer.json"), "image_tokens": 50, "cut": False}
    plan = plan_of(corpus, tmp_path, change=lambda recipe: recipe.update(limits=limits), refuse=False)
    tokens = plan.tables.turns["tokens"]
    assert plan.tables.turns["tokens"].min() > 3
    for turns, images in plan.samples.select("turns", "images").iter_rows():
        assert sum(tokens.gather(turns)) + 50 * len(images) <= 155
    weights = plan.tables.conversations["tokens"] + 50 * plan.tables.conversations["num_images"]
    assert 0 < (weights > 155).sum() < plan.tables.conversations.height
    assert (plan.tables.conversations["reason"].eq_missing("too_many_tokens") == (weights > 155)).all()
    assert summarise(plan).tokens_exact


def test_split_by_sample_gives_the_exact_share(corpus, tmp_path):
    plan = plan_of(corpus, tmp_path, "split.eval=0.25", "split.by=sample")
    held_out = plan.samples["split"].eq("eval").sum()
    assert held_out == round(0.25 * plan.samples.height)


def test_every_shard_is_a_fair_mix(tmp_path):
    root = corpora.write_corpus(tmp_path / "corpus", num_images=200)
    plan = plan_of(root, tmp_path, "shards.max_samples=50")
    share = plan.samples["dataset"].eq("llava").mean()
    for _, shard in plan.samples.group_by("shard"):
        if shard.height == 50:
            assert abs(shard["dataset"].eq("llava").mean() - share) < 0.25


def test_a_conversation_with_a_reference_out_of_its_range_never_stands_behind_images(tmp_path):
    root = corpora.write_corpus(tmp_path / "corpus")
    records = [corpora.llava(n, "Which of the two images is it?" if n % 2 else "") for n in range(40)]
    (root / "detail.json").write_text(json.dumps(records))
    plan = plan_of(root, tmp_path)
    assert (~plan.tables.conversations["renumberable"]).sum() == 20
    ledger = plan.ledger()
    assert set(ledger.filter(pl.col("pinned") == "all_images")["pinned_by"]) == {"Which of the two images"}
    assert totals(ledger)["pinned"] == summarise(plan).pinned == {"all_images": 20}
    pinned = set(plan.tables.conversations.with_row_index("n").filter(~pl.col("renumberable"))["n"].to_list())
    for turns, offsets in plan.samples.select("turns", "offsets").iter_rows():
        for turn, offset in zip(turns, offsets, strict=True):
            assert offset == 0 or plan.tables.turns["conversation"][turn] not in pinned
