import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import RecipeError
from blender.recipe import load_recipe, recipe_from
from tests.recipe.examples import GOOD, faults_of, load, only_fault, write


def test_five_faults_are_told_together_each_with_its_line(tmp_path):
    text = """\
name: five
seed: three
images: {coco: ./coco}
sources:
  llava: {format: lava, files: a.json, images: coco}
blend:
  - {name: a, from: llava, reepat: 2}
  - {name: b, from: lavva}
limits:
  images: 0
"""
    faults = faults_of(tmp_path, text)
    assert [str(fault) for fault in faults] == [
        "line 2: seed: expected a whole number, got 'three'",
        "line 5: sources.llava.format: unknown format 'lava'; did you mean 'llava'?",
        "line 7: blend.0.reepat: unknown key 'reepat'; did you mean 'repeat'?",
        "line 8: blend.1.from: unknown source 'lavva'; did you mean 'llava'?",
        "line 10: limits.images: expected a number of at least 1, got 0",
    ]


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("name: good", "nme: good\nname: good", "line 1: nme: unknown key 'nme'; did you mean 'name'?"),
        ("name: good", "name: a/b", "line 1: name: 'a/b' is not a name: at most 100 letters, digits, - _ . and the first a letter or digit"),  # noqa: E501
        ("name: good\n", "", "the key 'name' is missing"),
        ("name: good", "name: 12", "line 1: name: expected a text, got 12; put it in quotes"),
        ("name: good", "name: good\nseed: 1.5", "line 2: seed: expected a whole number, got 1.5"),
        ("name: good", "name: good\nseed: true", "line 2: seed: expected a whole number, got true"),
        ("name: good", "name: good\nseed: -1", "line 2: seed: expected a number of at least 0, got -1"),
        ("name: good", "name: good\nlimits:", "line 2: limits: expected keys and values, got nothing"),
        ("name: good", "name: good\nlimits: {tokens: 4096}", "line 2: limits.tokens: tokens can only be counted when tokenizer is given, too"),  # noqa: E501
        ("name: good", "name: good\nlimits: {dropped: 5}", "line 2: limits.dropped: expected a share from 0 to 1, or a percentage such as \"5%\", got 5"),  # noqa: E501
        ("name: good", "name: good\nlimits: {dropped: 101%}", "line 2: limits.dropped: expected a share from 0 to 1, or a percentage such as \"5%\", got '101%'"),  # noqa: E501
        ("name: good", "name: good\nlimits: {dropped: true}", "line 2: limits.dropped: expected a share from 0 to 1, or a percentage such as \"5%\", got true"),  # noqa: E501
        ("name: good", "name: good\nlimits: {image_bytes: much}", "line 2: limits.image_bytes: expected a size such as 512MB, 1GB or 1GiB, got 'much'"),  # noqa: E501
        ("name: good", "name: good\nshards: {max_bytes: 0}", "line 2: shards.max_bytes: expected a size of at least 1 byte and at most 9007199254740991 bytes, got 0"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: 1.0}", "line 2: split.eval: expected a share below 1, such as 0.02 or \"2%\", or a whole number, got 1.0"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: 100%}", "line 2: split.eval: expected a share below 1, such as 0.02 or \"2%\", or a whole number, got '100%'"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: .nan}", "line 2: split.eval: expected a share below 1, such as 0.02 or \"2%\", or a whole number, got nan"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: {}}", "line 2: split.eval: expected an amount, or sources with an amount each, got none"),  # noqa: E501
        ("name: good", "name: good\nsplit:\n  eval:\n    llava: -1", "line 4: split.eval.llava: expected a share below 1, such as 0.02 or \"2%\", or a whole number, got -1"),  # noqa: E501
        ("name: good", "name: good\nsplit:\n  eval:\n    lava: 1%", "line 4: split.eval.lava: unknown source 'lava'; did you mean 'llava'?"),  # noqa: E501
        ("name: good", "name: good\nsplit:\n  eval:\n    two: 1%", "line 4: split.eval.two: 'two' is an entry of the blend; name the sources it is made of"),  # noqa: E501
        ("name: good", "name: good\nsplit: {exclude: [cgt]}", "line 2: split.exclude.0: unknown source 'cgt'; did you mean 'cgd'?"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: {cgd: 5}, exclude: cgd}", "line 2: split.exclude: 'cgd' has an amount under eval; it cannot be excluded as well"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: 5, list: a.txt}", "line 2: split.list: list and eval cannot both be given: a list says all of it"),  # noqa: E501
        ("name: good", "name: good\nsplit: {exclude: cgd, list: a.txt}", "line 2: split.list: list and exclude cannot both be given: a list says all of it"),  # noqa: E501
        ("name: good", "name: good\nsplit: {exclude: cgd, by: sample}", "line 2: split.exclude: exclude needs by: image"),  # noqa: E501
        ("name: good", "name: good\nsplit: {eval: {cgd: 5}, by: sample}", "line 2: split.eval: an amount for each source needs by: image"),  # noqa: E501
        ("name: good", "name: good\nsplit: {perceptual: 99}", "line 2: split.perceptual: expected a number of at most 16, got 99"),  # noqa: E501
        ("  coco: ${data}/coco", "  coco: {path: x, same_as: cocoa}", "line 4: images.coco.same_as: unknown image store 'cocoa'; did you mean 'coco'?"),  # noqa: E501
        ("  coco: ${data}/coco", "  coco: {path: x, same_as: coco}", "line 4: images.coco.same_as: 'coco' cannot be the same as itself"),  # noqa: E501
        ("  coco: ${data}/coco", "  coco: {path: x, same: coco}", "line 4: images.coco.same: unknown key 'same'; did you mean 'same_as'?"),  # noqa: E501
        ("  coco: ${data}/coco", "  coco: {path: x, same_as: a}\n  a: {path: y, same_as: b}\n  b: z", "line 4: images.coco.same_as: 'a' is itself the same as another store; name that one"),  # noqa: E501
        ("  coco: ${data}/coco", "  coco: 3", "line 4: images.coco: expected a path, a URL, or {path: …, same_as: …}, got 3"),  # noqa: E501
        ("name: good", "name: good\nsplit: {by: turn}", "line 2: split.by: expected 'image' or 'sample', got 'turn'"),
        ("name: good", "name: good\ntemplate: plane", "line 2: template: unknown template 'plane'; did you mean 'plain'?"),  # noqa: E501
        ("{data: ./data}", "{data: ./data, many: [1]}", "line 2: variables.many: a variable is a text or a number, got a list"),  # noqa: E501
        ("{data: ./data}", "{data: ./data, 1st: x}", "line 2: variables.1st: '1st' is not a name for a variable: letters, digits and _, and the first no digit"),  # noqa: E501
        ("files: \"${data}/llava.json\", images: coco", "files: \"${data}/llava.json\", images: coca", "line 6: sources.llava.images: unknown image store 'coca'; did you mean 'coco'?"),  # noqa: E501
        ("files: [\"${data}/cgd.json\"]", "files: []", "line 9: sources.cgd.files: expected at least one, got none"),
        ("files: [\"${data}/cgd.json\"]", "files: [x.json, 3]", "line 9: sources.cgd.files.1: expected a text, got 3; put it in quotes"),  # noqa: E501
        ("files: [\"${data}/cgd.json\"]", "files: [x.json, x.json]", "line 9: sources.cgd.files: 'x.json' is listed twice"),  # noqa: E501
        ("files: [\"${data}/cgd.json\"]", "files: \"a\\0b\"", "line 9: sources.cgd.files: a path may not hold control characters"),  # noqa: E501
        ("    format: mimicit\n", "", "line 7: sources.cgd: the key 'format' is missing"),
        ("name: two", "name: one", "line 13: blend.1.name: the name 'one' is taken by an earlier entry"),
        ("[1, 3]", "[3, 1]", "line 12: blend.0.concatenate: expected [low, high] with 1 <= low <= high, got [3, 1]"),
        ("[1, 3]", "3", "line 12: blend.0.concatenate: expected two whole numbers [low, high], such as [1, 3]"),
        ("[1, 3]", "[1, 3], repeat: 0", "line 12: blend.0.repeat: expected a number above 0, got 0"),
        ("[1, 3]", "[1, 3], repeat: .inf", "line 12: blend.0.repeat: expected a finite number, got inf"),
        ("[1, 3]", "[1, 3], samples: 0%", "line 12: blend.0.samples: expected a whole number above 0 or a share such as \"30%\", got '0%'"),  # noqa: E501
        ("[1, 3]", "[1, 3], samples: 3, repeat: 1", "line 12: blend.0.samples: samples and repeat cannot both be given"),  # noqa: E501
        ("from: llava, ", "", "line 12: blend.0: an entry needs from or image_match to say where its records come from (concatenate says what is done with them)"),  # noqa: E501
        ("name: two", "name: two\n    from: cgd", "line 15: blend.1.image_match: image_match and from cannot both be given"),  # noqa: E501
        ("name: two", "name: two\n    concatenate: [1, 2]", "line 15: blend.1.image_match: image_match and concatenate cannot both be given"),  # noqa: E501
        ("with: [llava]", "with: [llava, llva]", "line 16: blend.1.image_match.with.1: unknown source 'llva'; did you mean 'llava'?"),  # noqa: E501
        ("      with: [llava]\n", "", "line 14: blend.1.image_match: the key 'with' is missing"),
        ("with: [llava]", "whith: 1\n      with: [llava]", "line 16: blend.1.image_match.whith: unknown key 'whith'; did you mean 'with'?"),  # noqa: E501
        ("  - {name: one,", "  - llava\n  - {name: one,", "line 12: blend.0: expected keys and values, got 'llava'"),
    ],
)  # fmt: skip
def test_every_kind_of_fault_has_its_line_and_sentence(tmp_path, old, new, fault):
    assert only_fault(tmp_path, changed(old, new)) == fault


def test_a_blend_that_is_no_list_is_a_fault(tmp_path):
    text = GOOD[: GOOD.index("blend:")] + "blend: {one: 1}\n"
    assert only_fault(tmp_path, text) == "line 11: blend: expected a list, got keys and values"


def test_an_empty_blend_is_a_fault(tmp_path):
    text = GOOD[: GOOD.index("blend:")] + "blend: []\n"
    assert only_fault(tmp_path, text) == "line 11: blend: expected at least one, got none"


def test_a_key_given_twice_is_a_fault_and_hides_no_other(tmp_path):
    text = changed("    format: mimicit\n", "    format: mimicit\n    format: mimic\n")
    assert [str(fault) for fault in faults_of(tmp_path, text)] == [
        "line 9: sources.cgd.format: the key 'format' is given twice, first on line 8",
        "line 9: sources.cgd.format: unknown format 'mimic'; did you mean 'mimicit'?",
    ]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 1: the file is empty, where keys such as 'name: ...' are expected"),
        (b"# nothing but a comment\n", "line 1: the file is empty, where keys such as 'name: ...' are expected"),
        (b"- a\n- b\n", "line 1: the file holds a list, where keys such as 'name: ...' are expected"),
        (b"just words\n", "line 1: the file holds 'just words', where keys such as 'name: ...' are expected"),
        (b"name: a\nseed: \xff\xfe\n", "line 2: the file is not UTF-8 text"),
        (b"name: a\nseed: \x07\n", "line 2: the file holds a character that YAML does not allow (U+0007)"),
        (b"x" * 1_000_001, "the file has more than 1,000,000 bytes: it is hardly a recipe"),
        (b"[" * 5_000, "the file is nested too deeply"),
        (b"name: &a [*a]\n", "line 1: the file holds an alias of a value inside that value"),
    ],
)
def test_a_file_that_is_no_recipe_is_told_in_one_sentence(tmp_path, content, fault):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert [str(fault) for fault in caught.value.faults] == [fault]


def test_a_syntax_error_has_line_and_column(tmp_path):
    assert re.match(r"line 2: the file is not valid YAML at column 8: ", only_fault(tmp_path, "name: a\nseed: 1: 2\n"))


def test_an_unquoted_variable_inside_braces_is_explained(tmp_path):
    text = "name: a\nimages: {coco: ${data}/coco}\n"
    assert "must stand in quotes" in only_fault(tmp_path, text)


def test_aliases_of_aliases_are_refused_before_they_fill_the_memory(tmp_path):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "more than 50,000 values" in only_fault(tmp_path, "\n".join(lines))


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path, reason in ((tmp_path / "none.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(RecipeError, match=f"cannot be read: {reason}"):
            load_recipe(path)


def test_the_error_names_the_recipe_as_the_user_did(tmp_path):
    path = write(tmp_path, "name: [")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert str(caught.value).startswith(f"recipe {path} has 1 fault:\n  line 1: ")


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    assert load(tmp_path, "\ufeff" + GOOD).name == "good"


def test_a_recipe_travels_to_other_processes(tmp_path):
    recipe = load(tmp_path, GOOD)
    again = pickle.loads(pickle.dumps(recipe))
    assert again.hash() == recipe.hash()
    assert again.missing_files() == recipe.missing_files() != []


def test_no_sentence_shows_the_machinery_behind_it(tmp_path):
    text = GOOD + "seed: [1]\nlimits: 3\nshards: {max_bytes: {}}\nsplit: {eval: x, by: {}}\ntemplate: {}\n"
    said = "\n".join(map(str, faults_of(tmp_path, text)))
    assert not re.search(r"pydantic|http|input|instance|valid (dict|string|integer)|parsing", said, re.IGNORECASE)


KEYS = ("name", "seed", "variables", "template", "images", "sources", "blend", "limits", "split", "shards", "other")
INNER = ("format", "files", "from", "with", "base", "repeat", "samples", "concatenate", "image_match", "eval", "tokens")
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(["llava", "${x}", "${", "1GB", "30%", "", "a*"]),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda child: st.lists(child, max_size=3) | st.dictionaries(st.sampled_from(KEYS + INNER), child, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING))
def test_plain_data_of_any_shape_gives_a_recipe_or_faults(data):
    try:
        recipe_from(data)
    except RecipeError as error:
        assert error.faults


@given(text=st.text(alphabet="ab:-[]{}&*!|>'\"#%@, \n\t${}1.~?", max_size=60))
@settings(max_examples=200)
def test_text_of_any_kind_gives_a_recipe_or_faults(tmp_path_factory, text):
    path = Path(tmp_path_factory.getbasetemp()) / "any.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert caught.value.faults
