"""The paper's nine datasets, counted on annotation files that were generated to have the published counts.

This is arithmetic, not a reproduction: the files of ``benchmarks.published`` have as many records, pairs and matches as
Table 1 of arXiv 2309.14327 implies, so the recipe must give its counts. It shows that nothing is lost or doubled at the
published size. The rules themselves are tested where the counts come out of the rule alone, on random graphs
(``tests/blend/test_image_match.py``) and random groups (``tests/blend/test_concatenate.py``). Seven of the nine
counts are exactly the paper's. llava and llava_dial depend on how the sizes of groups fall: records cut into groups of
1 to k give a count whose standard deviation is 91 for llava and 65 for llava_dial. The paper's 49,924 lies 18 below the
expected 49,942, its 37,818 lies 31 above the expected 37,787; one sample of each is lost there to a fault that drops
the first group, which is not repeated here. Nothing else differs.
"""

import pytest

from benchmarks.published import write_published
from blender import load_recipe
from blender.blend.ledger import totals
from blender.blend.plan import make_plan

EXACT = {
    "otter_mimicit_cgd": 70_940,
    "otter_mimicit_sd": 8_006,
    "otter_mimicit_sn": 487,
    "otter_mimicit_tvc": 2,
    "otter_mimicit_vst": 115,
    "llava_otter_blend": 48_869,
    "sparkles_dialogue": 6_520,
}
#: count in the paper, and four standard deviations of our own count around what the rule makes us expect
AT_RANDOM = {"llava": (49_924, 18 + 4 * 91), "llava_dial": (37_818, 31 + 4 * 65)}
IN_ALL = 222_681


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    data = tmp_path_factory.mktemp("published")
    write_published(data)
    recipe = load_recipe("deepspeed-visualchat-nine", [f"data={data}"])
    return make_plan(recipe, tmp_path_factory.mktemp("texts"), 2, look=False)


@pytest.fixture(scope="module")
def counts(plan):
    return dict(plan.samples.group_by("dataset").len().iter_rows())


@pytest.mark.parametrize(("dataset", "published"), EXACT.items())
def test_a_dataset_without_random_groups_has_exactly_the_published_count(counts, dataset, published):
    assert counts[dataset] == published


@pytest.mark.parametrize(("dataset", "published", "error"), [(name, *pair) for name, pair in AT_RANDOM.items()])
def test_a_concatenated_dataset_has_the_published_count_within_its_statistical_error(counts, dataset, published, error):
    assert counts[dataset] == pytest.approx(published, abs=error)


def test_all_nine_together_have_the_published_count(counts):
    assert set(counts) == {*EXACT, *AT_RANDOM}
    assert sum(counts.values()) == pytest.approx(IN_ALL, abs=13 + 4 * 112)


def test_every_record_is_in_samples_or_dropped_for_having_too_many_images(plan):
    found = totals(plan.ledger())
    assert found == plan.totals
    assert found["read"] == sum(file.num_records for file in plan.tables.files) == 450_953
    assert found["read"] == found["emitted"] + sum(found["dropped"].values())
    assert set(found["dropped"]) == {"too_many_images"}


def test_every_record_of_a_concatenated_dataset_comes_out_exactly_once(plan):
    ledger = plan.ledger().explode("emitted").unnest("emitted")
    alone = ledger.filter(ledger["dataset"].is_in(list(AT_RANDOM)))
    assert alone["samples"].unique().to_list() == [1]
    assert alone.height == 23_240 + 76_643 + 56_681


def test_no_conversation_is_lost_between_train_and_eval(plan):
    assert not (plan.tables.conversations["reason"] == "straddles_split").any()
    assert set(plan.samples["split"]) == {"train", "eval"}
