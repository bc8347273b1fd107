import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.recipe.examples import GOOD, faults_of, load, only_fault


def test_one_word_that_is_a_variable_sets_the_variable(tmp_path):
    recipe = load(tmp_path, GOOD, ["data=/mnt/data"])
    assert recipe.images["coco"] == "/mnt/data/coco"
    assert recipe.sources["cgd"].files == ("/mnt/data/cgd.json",)


def test_a_key_of_the_recipe_wins_over_a_variable_of_the_same_name(tmp_path):
    text = GOOD.replace("{data: ./data}", "{data: ./data, seed: x}")
    recipe = load(tmp_path, text, ["seed=7"])
    assert (recipe.seed, recipe.variables["seed"]) == (7, "x")


@pytest.mark.parametrize("value", ["2024", "true", "1e3", "null", "007"])
def test_a_path_that_looks_like_a_number_stays_text(tmp_path, value):
    assert load(tmp_path, GOOD, [f"data={value}"]).images["coco"] == f"{value}/coco"


def test_entries_go_by_name_and_by_number(tmp_path):
    recipe = load(tmp_path, GOOD, ["blend.one.repeat=2.5", "blend.1.samples=30%"])
    assert (recipe.blend[0].repeat, recipe.blend[1].samples) == (2.5, "30%")


def test_names_with_dots_are_found(tmp_path):
    text = (
        GOOD.replace("name: two", "name: two.of.two")
        .replace("  cgd:", "  cgd.v1:")
        .replace("base: cgd", "base: cgd.v1")
    )
    recipe = load(tmp_path, text, ["blend.two.of.two.repeat=3", "sources.cgd.v1.images=null"])
    assert recipe.blend[1].repeat == 3
    assert recipe.sources["cgd.v1"].images is None


def test_sections_that_the_file_leaves_out_can_be_set(tmp_path):
    recipe = load(tmp_path, GOOD, ["limits.images=4", "shards.max_bytes=5MB", "split={eval: 0}"])
    assert (recipe.limits.images, recipe.shards.max_bytes, recipe.split.eval) == (4, 5_000_000, 0)


def test_values_are_yaml_and_may_use_variables(tmp_path):
    recipe = load(tmp_path, GOOD, ['sources.cgd.files=["${data}/a.json", b.json]'])
    assert recipe.sources["cgd"].files == ("./data/a.json", "b.json")


def test_null_takes_a_key_away(tmp_path):
    assert load(tmp_path, GOOD, ["blend.one.concatenate=null"]).blend[0].kind == "plain"


def test_later_overrides_win(tmp_path):
    assert load(tmp_path, GOOD, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data", "the override 'data' cannot be used: 'data' is not of the form key.path=value"),
        ("=3", "the override '=3' cannot be used: '=3' is not of the form key.path=value"),
        ("dta=3", "the override 'dta' means nothing: no such key or variable; did you mean 'data'?"),
        ("blend.tow.repeat=3", "the override 'blend.tow.repeat' means nothing: no item 'tow' in a list of 2; did you mean 'two'?"),  # noqa: E501
        ("blend.2.repeat=3", "the override 'blend.2.repeat' means nothing: no item '2' in a list of 2; known: one, two"),  # noqa: E501
        ("name.x=3", "the override 'name.x' leads into 'good', which has no keys"),
        ("limits.images=[", "the override 'limits.images' has a value that is not valid YAML at column 2: expected the node content, but found '<stream end>'"),  # noqa: E501
        ("limits.images=!x 1", "the override 'limits.images' has a value that cannot be read: the tag '!x' is not plain data"),  # noqa: E501
        ("limits.images=many", "limits.images: expected a whole number, got 'many' (set by an override)"),
        ("limits.imags=3", "limits.imags: unknown key 'imags'; did you mean 'images'? (set by an override)"),
        ("blend.one.from=x", "blend.0.from: unknown source 'x'; known: llava, cgd (set by an override)"),
    ],
)  # fmt: skip
def test_faults_of_overrides_have_no_line_and_say_where_they_come_from(tmp_path, override, fault):
    assert only_fault(tmp_path, GOOD, [override]) == fault


def test_faults_of_overrides_and_of_the_file_come_together(tmp_path):
    faults = faults_of(tmp_path, GOOD + "seed: x\n", ["limits.images=0", "nonsense"])
    assert [fault.line for fault in faults] == [None, None, 17]


def test_an_override_repairs_a_fault_of_the_file(tmp_path):
    assert load(tmp_path, GOOD + "seed: x\n", ["seed=1"]).seed == 1


@given(images=st.integers(1, 99), repeat=st.floats(0.01, 99), seed=st.integers(0, 2**32 - 1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_overriding_is_the_same_as_editing(tmp_path, images, repeat, seed):
    edited = GOOD.replace("[1, 3]", f"[1, 3], repeat: {repeat!r}") + f"seed: {seed}\nlimits: {{images: {images}}}\n"
    overrides = [f"seed={seed}", f"blend.one.repeat={repeat!r}", f"limits.images={images}"]
    assert load(tmp_path, GOOD, overrides).hash() == load(tmp_path, edited).hash()
