import csv

import pytest

from blender.evaluate.results import Result, write_csv


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_table_is_computed_by_a_spreadsheet(tmp_path, begin):
    formula = f"{begin}HYPERLINK(1)"
    result = Result(
        model=formula, data="d", dataset="d", conversation=formula, round=1, num_rounds=1, images=[1],
        image_paths=[formula], num_images=1, question=formula, answer=formula, loss=-0.5,
    )  # fmt: skip
    write_csv(tmp_path / "a.csv", [result])
    with (tmp_path / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    for name in ("test_name", "image_path", "question", "answer", "model"):
        assert row[name] == f"'{formula}"
    assert row["loss"] == "-0.5"


def test_other_texts_stay_as_they_are(tmp_path):
    write_csv(
        tmp_path / "a.csv",
        [Result(model="m", data="d", dataset="d", conversation="c", round=1, num_rounds=1, images=[], image_paths=[],
                num_images=0, question="1 = 1?", answer="'quoted'")],
    )  # fmt: skip
    assert "1 = 1?,'quoted'" in (tmp_path / "a.csv").read_text()
