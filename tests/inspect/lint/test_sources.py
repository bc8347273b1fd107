import json
import shutil

from tests.inspect.lint.blends import details, found, plain


def test_a_file_that_two_sources_read_is_told_by_its_bytes(made):
    made.plain(*range(30))
    made.records("other")
    made.load()
    shutil.copy(made.root / "llava.json", made.root / "same.json")
    file = {"format": "llava", "images": "photos"}
    made.recipe["sources"] = {
        "llava": {**file, "files": str(made.root / "llava.json")},
        "other": {**file, "files": str(made.root / "same.json")},
    }
    report = made.lint()
    assert found(report) == {"source_read_twice": 1}
    assert details(report, "source_read_twice") == ["same.json of source other is llava.json of source llava once more"]


def test_a_file_that_holds_much_of_another_is_told(made):
    made.plain(*range(40))
    made.records("part").extend(plain(number) | {"id": f"again {number}"} for number in range(25))
    made.plain(*range(50, 60), source="part")
    report = made.lint()
    assert found(report) == {"sources_overlap": 1}
    (detail,) = details(report, "sources_overlap")
    assert detail == "llava.json of source llava and part.json of source part share 25 pairs, 71% of the smaller"


def test_a_few_pairs_in_common_are_no_overlap(made):
    made.plain(*range(40))
    made.plain(*range(38, 80), source="other")
    assert "sources_overlap" in made.lint().clean


def test_records_that_a_blend_uses_in_several_datasets_are_no_overlap(made):
    made.plain(*range(30))
    made.recipe["blend"] = [{"name": "one", "from": "llava"}, {"name": "two", "from": "llava", "repeat": 2}]
    assert {"sources_overlap", "source_read_twice"} <= set(made.lint().clean)


def test_a_dataset_that_nobody_will_notice_is_told(made):
    made.plain(*range(3))
    made.plain(*range(10, 12), source="rare")
    made.recipe["blend"] = [
        {"name": "much", "from": "llava", "samples": 2500},
        {"name": "rare", "from": "rare"},
        {"name": "enough", "from": "rare", "samples": 3},
    ]
    report = made.lint()
    assert details(report, "tiny_dataset") == ["rare has 2 of 2,505 samples (0.080%)"]
    assert json.loads(json.dumps(report.findings[0].datasets))


def test_a_dataset_without_any_sample_is_told(made):
    made.plain(*range(3))
    made.plain(99, source="spared")
    entries = [{"name": "llava", "from": "llava"}, {"name": "spared", "from": "spared", "repeat": 0.1}]
    made.recipe["blend"] = entries
    report = made.lint()
    assert details(report, "tiny_dataset") == ["spared has 0 of 3 samples (0.000%)"]
