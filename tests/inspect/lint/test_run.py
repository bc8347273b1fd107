import jsonschema
import pytest

from blender.core.errors import RecipeError
from blender.encoding.encoder import make_text_encoder
from blender.inspect.lint import LintSettings, TokenCounter, lint_blend
from blender.inspect.lint.checks import CHECKS
from blender.recipe import blend_recipe_schema, load_recipe
from blender.recipe.lint import LINT_CHECKS, Suppression
from blender.shards.blend import write_blend
from blender.shards.reader import open_blend
from blender.stream.sample_text import SampleTextEncoder
from tests import corpora
from tests.inspect.lint.blends import ask, details, found, plain
from tests.stream.tiny_tokenizers import tiny_tokenizer


def one_word(made, *numbers, source="llava"):
    made.records(source).extend(ask(f"{number}.jpg", (f"Is {number} red?", "Yes")) for number in numbers)


def test_recipes_know_the_names_of_all_checks():
    assert set(CHECKS) == set(LINT_CHECKS)
    assert all(check.advice.endswith(".") for check in CHECKS.values())


def test_a_corpus_of_all_kinds_is_looked_through(corpus, tmp_path):
    write_blend(load_recipe(corpora.write_recipe(corpus)), tmp_path / "blend", workers=1)
    blend = open_blend(tmp_path / "blend")
    report = lint_blend(blend)
    assert (report.num_samples, report.num_turns) == (len(blend), blend.index["num_turns"].sum())
    assert report.counts["error"] == 0
    assert {*report.clean, *report.not_made, *found(report)} == set(CHECKS)


def test_suppressed_findings_are_counted_and_not_told(made):
    made.plain(1, 2)
    one_word(made, 1, 2)
    made.recipe["lint"] = {"suppress": ["answer_one_word"]}
    report = made.lint()
    (finding,) = report.findings
    assert (finding.count, finding.suppressed, finding.examples) == (0, 2, [])
    assert report.counts == {"error": 0, "warning": 0, "notice": 0}
    assert "answer_one_word" not in report.clean


def test_a_dataset_alone_may_be_suppressed(made):
    made.plain(1, 2)
    made.plain(3, source="other")
    one_word(made, 1, 2)
    one_word(made, 3, source="other")
    made.recipe["lint"] = {
        "suppress": [{"check": "answer_one_word", "dataset": "llava", "because": "they are choices"}]
    }
    report = made.lint()
    (finding,) = report.findings
    assert (finding.count, finding.suppressed, finding.datasets) == (1, 2, {"other": 1})
    assert [example.dataset for example in finding.examples] == ["other"]
    report = made.lint(suppress=[Suppression(check="answer_one_word", dataset="other")])
    assert found(report) == {"answer_one_word": 0}


def test_suppressions_that_suppress_nothing_are_told(made):
    made.plain(1)
    one_word(made, 1)
    made.recipe["lint"] = {"suppress": ["mojibake", {"check": "image_small", "dataset": "llava"}, "answer_one_word"]}
    assert made.lint().idle_suppressions == ["mojibake", "image_small in llava"]


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("[answer_one_wrd]", "unknown check 'answer_one_wrd'; did you mean 'answer_one_word'?"),
        ("{check: mojibak}", "unknown check 'mojibak'; did you mean 'mojibake'?"),
        ("mojibak", "lint.suppress: unknown check 'mojibak'; did you mean 'mojibake'?"),
        ("[{check: mojibake, dataset: lava}]", "unknown dataset 'lava'; did you mean 'llava'?"),
        ("[{dataset: llava}]", "the key 'check' is missing"),
        ("[{check: mojibake, becuse: x}]", "unknown key 'becuse'; did you mean 'because'?"),
        ("3", "expected a list of checks, got 3"),
    ],
)
def test_misspelt_suppressions_are_faults_of_the_recipe(tmp_path, said, fault):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: one\nsources:\n  llava: {format: llava, files: x.json}\n"
        f"blend:\n  - {{name: llava, from: llava}}\nlint:\n  suppress: {said}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert [str(each) for each in caught.value.faults if fault in str(each) and "line 7" in str(each)]


@pytest.mark.parametrize(
    ("said", "is_valid"),
    [
        ("mojibake", True),
        (["mojibake", {"check": "image_small", "dataset": "llava", "because": "icons"}], True),
        ({"check": "image_small"}, True),
        ("mojibak", False),
        ([{"dataset": "llava"}], False),
        (3, False),
    ],
)
def test_editors_know_suppressions(made, said, is_valid):
    made.plain(1)
    schema = jsonschema.Draft202012Validator(blend_recipe_schema())
    data = made.load().resolved()
    assert schema.is_valid(data)
    assert schema.is_valid(data | {"lint": {"suppress": said}}) == is_valid


def test_suppressions_do_not_make_another_blend(made):
    made.plain(1)
    before = made.load()
    made.recipe["lint"] = {"suppress": ["mojibake"]}
    assert made.load().hash() == before.hash()


def test_examples_are_of_every_dataset_first(made):
    made.plain(*range(8))
    made.plain(*range(10, 12), source="other")
    one_word(made, *range(8))
    one_word(made, 10, source="other")
    report = made.lint(num_examples=2)
    assert {example.dataset for example in report.findings[0].examples} == {"llava", "other"}


def test_workers_find_the_same(made):
    made.plain(*range(5))
    made.records().append(ask("1.jpg", ("Is it red?", "Yes"), ("And?", "In a cafÃ© it is.")))
    made.recipe["blend"] = [{"name": "much", "from": "llava", "samples": 4100}]
    write_blend(made.load(), made.root / "blend", workers=1)
    blend = open_blend(made.root / "blend")
    both = [lint_blend(blend, LintSettings(workers=workers, look=False)) for workers in (1, 2)]
    assert both[0] == both[1]
    assert set(found(both[0])) == {"answer_one_word", "mojibake"}


@pytest.fixture
def encoder():
    return SampleTextEncoder(make_text_encoder(tiny_tokenizer("llama2"), 16))


def test_samples_that_are_too_long_are_told_with_what_is_kept(made, encoder):
    made.plain(*range(3))
    made.records().append(ask("1.jpg", *((f"Question {n}?", f"It is a long answer, number {n}.") for n in range(9))))
    assert "no --tokenizer was given" in made.lint().not_made["sample_too_long"]
    report = made.lint(tokens=TokenCounter(encoder, 200))
    assert found(report) == {"sample_too_long": 1}
    (detail,) = details(report, "sample_too_long")
    stored = [stored for stored in open_blend(made.root / "blend") if len(stored.sample.turns) == 9][0]
    whole = encoder.encode(stored.sample)
    assert detail == f"{len(whole)} tokens, 200 allowed: {len(whole.keep_turns(200).turn_ends)} of 9 turns are kept"
    assert 0 < len(whole.keep_turns(200).turn_ends) < 9


def test_samples_that_nothing_is_left_of_are_errors(made, encoder):
    made.plain(*range(2))
    made.records().append(ask("1.jpg", ("What is it?", "It is a word. " * 200)))
    report = made.lint(tokens=TokenCounter(encoder, 300))
    assert found(report) == {"sample_unusable": 1}
    assert report.findings[0].severity == "error"
    assert "300 allowed" in details(report, "sample_unusable")[0]


def test_records_without_images_are_looked_through_too(made):
    made.plain(1)
    made.records().append(ask(None, ("What is image 1?", "There is no image here, sorry.")))
    made.records().append(plain(1))
    assert found(made.lint()) == {"image_number_missing": 1}
