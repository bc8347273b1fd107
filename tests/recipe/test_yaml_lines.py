import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.recipe.yaml_lines import Unreadable, parse_yaml

WORDS = st.text(alphabet="abcxyz ~:#-0123456789\u00e9\u6f22", max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda child: st.lists(child, max_size=4) | st.dictionaries(WORDS, child, max_size=4),
    max_leaves=15,
)


@given(VALUES)
def test_values_come_out_as_they_were_written(data):
    document, problems = parse_yaml(json.dumps(data, ensure_ascii=False, indent=1))
    assert document.data == data
    assert problems == []


@given(st.dictionaries(WORDS, VALUES, min_size=1))
def test_every_key_and_item_has_the_line_that_it_stands_on(data):
    text = json.dumps(data, ensure_ascii=False, indent=1)
    document, _ = parse_yaml(text)
    lines = text.split("\n")
    for place, line in document.lines.items():
        if isinstance(place[-1], str):
            assert lines[line - 1].strip().startswith(json.dumps(place[-1], ensure_ascii=False) + ":")
        else:
            value = document.data
            for step in place:
                value = value[step]
            assert lines[line - 1].strip()[0] == json.dumps(value)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("True", True),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("010", "010"),
        ("0o10", 8),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("1.2.3", "1.2.3"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("!!float 1", 1.0),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_are_read_by_the_rules_of_yaml_1_2(text, value):
    read = parse_yaml(f"key: {text}")[0].data["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("key", ["on", "no", "true", "1", "~", "null"])
def test_keys_are_text_exactly_as_written(key):
    assert parse_yaml(f"{key}: 1")[0].data == {key: 1}


def test_a_key_that_is_a_list_is_a_problem():
    _, problems = parse_yaml("a: 1\n? [x]\n: 2\n")
    assert [(problem.line, problem.message) for problem in problems] == [(2, "a key must be a plain word")]


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system [ls]", "!!python/name:os.system", "!mine 1", "!!set {a}"]
)
def test_tags_make_nothing_but_plain_data(tag):
    document, problems = parse_yaml(f"a: 1\nb: {tag}\n")
    assert document.data == {"a": 1, "b": None}
    assert [problem.line for problem in problems] == [2]
    assert "is not plain data" in problems[0].message


def test_a_tag_that_its_text_does_not_fit_is_a_problem():
    assert "'three' is not of the type !!int" in parse_yaml("a: !!int three")[1][0].message


def test_aliases_give_the_value_of_their_anchor():
    assert parse_yaml("a: &x {b: 1}\nc: *x\n")[0].data == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize("text", ["a: *x", "a: 1\n--- \nb: 2\n", "a: {", "\ta: 1", "a: 'x"])
def test_what_is_not_one_yaml_document_is_unreadable_at_a_line(text):
    with pytest.raises(Unreadable) as caught:
        parse_yaml(text)
    assert caught.value.line
