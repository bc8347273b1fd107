from hypothesis import given
from hypothesis import strategies as st

from blender.recipe.variables import substitute
from tests.recipe.examples import GOOD, faults_of, load, only_fault

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,5}", fullmatch=True)


def written(text: object, **variables: object) -> object:
    data, problems, broken = substitute({"variables": variables, "text": text})
    assert not problems
    assert not broken
    return data["text"]


@given(st.text().filter(lambda text: "${" not in text))
def test_text_without_references_stays_as_it_is(text):
    assert written(text, data="x") == text


@given(st.text(alphabet="ab/$ "), NAMES, st.text(alphabet="ab/{} "), st.text(alphabet="ab/ "))
def test_references_are_written_out_wherever_they_stand(before, name, value, after):
    if not before.endswith("$"):
        assert written(f"{before}${{{name}}}{after}", **{name: value}) == before + value + after


@given(st.text(alphabet="ab{}/ "), NAMES)
def test_a_doubled_dollar_gives_a_literal_brace(before, name):
    assert written(f"{before}$${{{name}}}", **{name: "value"}) == f"{before}${{{name}}}"


@given(st.integers() | st.floats(allow_nan=False) | st.text(alphabet="ab"))
def test_a_lone_reference_keeps_the_type_of_its_variable(value):
    read = written("${n}", n=value)
    assert read == value
    assert type(read) is type(value)


def test_variables_may_use_each_other_in_any_order():
    assert written("${a}!", a="${b}/x", b="${c}", c="/mnt") == "/mnt/x!"


def test_what_a_variable_holds_is_not_read_again():
    assert written("<${a}>", a="$${b}") == "<${b}>"


def test_numbers_are_variables_too(tmp_path):
    text = GOOD.replace("{data: ./data}", "{data: ./data, most: 3}") + "limits: {images: '${most}'}\n"
    assert load(tmp_path, text).limits.images == 3


def test_an_undefined_variable_is_a_fault_where_it_is_used(tmp_path):
    text = GOOD.replace("coco: ${data}/coco", "coco: ${dta}/coco")
    assert only_fault(tmp_path, text) == "line 4: images.coco: the variable 'dta' is not defined; did you mean 'data'?"


def test_a_value_with_an_undefined_variable_has_no_second_fault(tmp_path):
    assert "not defined" in only_fault(tmp_path, GOOD + "limits: {images: '${most}'}\n")


def test_a_variable_of_the_wrong_type_is_one_fault_wherever_it_is_used(tmp_path):
    text = GOOD.replace("{data: ./data}", "{data: ./data, most: [3]}") + "limits: {images: '${most}'}\n"
    assert only_fault(tmp_path, text) == "line 2: variables.most: a variable is a text or a number, got a list"


def test_variables_that_go_in_a_circle_are_a_fault(tmp_path):
    text = GOOD.replace("{data: ./data}", '{data: "${a}", a: "${b}", b: "${a}"}')
    faults = faults_of(tmp_path, text)
    assert [fault.line for fault in faults] == [2]
    assert faults[0].message == "the variable 'a' is defined by itself: a → b → a"


def test_variables_that_double_each_other_are_stopped(tmp_path):
    doubled = ", ".join(f'v{n}: "${{v{n + 1}}}${{v{n + 1}}}"' for n in range(18))
    text = GOOD.replace("{data: ./data}", f"{{data: ./data, {doubled}, v18: twice}}")
    assert "becomes longer than 10,000 characters" in only_fault(tmp_path, text)


def test_endless_chains_of_variables_are_stopped(tmp_path):
    chain = ", ".join(f'v{n}: "${{v{n + 1}}}"' for n in range(2000))
    text = GOOD.replace("{data: ./data}", f"{{data: ./data, {chain}, v2000: x}}")
    assert "more than 20 variables" in faults_of(tmp_path, text)[0].message


def test_an_open_brace_without_its_end_is_a_fault(tmp_path):
    fault = only_fault(tmp_path, GOOD.replace("coco: ${data}/coco", "coco: ${data/coco"))
    assert fault == "line 4: images.coco: '${' without its '}'; write '$${' for a literal '${'"
