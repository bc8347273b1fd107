"""A report is one file that needs nothing else."""

import base64
import html.parser
import json
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import InspectionError
from blender.core.visible import visible
from blender.inspect.report import pick_rows, require_replaceable, write_file, write_report
from tests.inspect.conftest import NASTY

#: the head of a page that this program wrote
EARLIER = '<meta name="generator" content="visualchat"> earlier'


class _Reader(html.parser.HTMLParser):
    """Collects elements with their attributes, and the texts of blocks."""

    def __init__(self):
        super().__init__()
        self.elements, self.blocks, self._open = [], {}, None

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._open = dict(attributes).get("id") if tag == "script" else None

    def handle_data(self, data):
        if self._open:
            self.blocks[self._open] = self.blocks.get(self._open, "") + data

    def handle_endtag(self, tag):
        self._open = None


@pytest.fixture(scope="module")
def parsed(report):
    reader = _Reader()
    reader.feed(report.read_text(encoding="utf-8"))
    return reader


def test_it_names_nothing_outside_itself(report, parsed):
    for tag, attributes in parsed.elements:
        assert "srcset" not in attributes
        for name in ("src", "href", "action"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    policy = next(a["content"] for tag, a in parsed.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    assert "http" not in policy


def test_it_holds_every_sample_and_every_image_once(blend, parsed):
    setup = json.loads(parsed.blocks["setup"])
    assert [sample["key"] for sample in setup["samples"]] == [stored.sample.key for stored in blend]
    distinct = {(image.store, image.name) for stored in blend for image in stored.sample.images}
    pictures = {name: text for name, text in parsed.blocks.items() if name.startswith("picture-")}
    assert len(pictures) == len(distinct)
    assert all(base64.b64decode(text)[8:12] == b"WEBP" for text in pictures.values())


def test_the_same_image_has_the_same_picture_everywhere(parsed):
    names = {}
    for sample in json.loads(parsed.blocks["setup"])["samples"]:
        for image in sample["images"]:
            assert names.setdefault(image["picture"], image["name"]) == image["name"]


def test_texts_are_in_it_with_what_is_hidden_in_them_written_out(blend, parsed):
    setup = json.loads(parsed.blocks["setup"])
    for sample, stored in zip(setup["samples"], blend, strict=True):
        text = "".join(words for turn in sample["turns"] for _, words in turn["pieces"])
        assert text == visible("".join(span.text for span in stored.sample.spans))
    assert any(NASTY[:20] in stored.sample.turns[0].question for stored in blend)


def test_the_same_blend_gives_the_same_file(blend, report, cache, tmp_path):
    write_report(blend, tmp_path / "again.html", cache=cache, workers=2)
    assert (tmp_path / "again.html").read_bytes() == report.read_bytes()


def test_a_few_samples_of_one_dataset(blend, cache, tmp_path):
    written = write_report(blend, tmp_path / "few.html", num_samples=3, dataset="cgd", cache=cache)
    assert written.num_samples == 3
    text = (tmp_path / "few.html").read_text(encoding="utf-8")
    reader = _Reader()
    reader.feed(text)
    setup = json.loads(reader.blocks["setup"])
    assert {sample["dataset"] for sample in setup["samples"]} == {"cgd"}
    assert f"of {len(blend)} samples of dataset cgd" in setup["overview"]["notes"][0]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 300), min_size=1, max_size=6), st.integers(1, 400), st.integers(0, 5))
def test_every_dataset_has_some_among_those_drawn(sizes, num, seed):
    names = [f"d{number}" for number, size in enumerate(sizes) for _ in range(size)]
    rows = pl.DataFrame(
        {"dataset": names, "split": ["train"] * len(names)}, schema={"dataset": pl.String, "split": pl.String}
    )
    picked = pick_rows(rows, num, None, seed)
    assert picked == sorted(set(picked))
    assert len(picked) == min(num, len(names))
    assert picked == pick_rows(rows, num, None, seed)
    if num >= 20 * len(sizes):
        found = [sum(names[row] == f"d{number}" for row in picked) for number in range(len(sizes))]
        assert all(count >= min(size, 20) for count, size in zip(found, sizes, strict=True))


def test_a_dataset_that_is_not_there_is_told(blend, tmp_path):
    with pytest.raises(InspectionError, match="there is no dataset cats"):
        write_report(blend, tmp_path / "r.html", dataset="cats", cache=tmp_path)


def test_a_file_that_fails_leaves_nothing_and_keeps_the_earlier_one(tmp_path):
    def pieces():
        yield b"half"
        raise RuntimeError

    out = tmp_path / "page.html"
    out.write_text(EARLIER)
    with pytest.raises(RuntimeError):
        write_file(out, pieces())
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert out.read_text() == EARLIER
    with pytest.raises(InspectionError, match="cannot write"):
        write_file(tmp_path / "nowhere" / "page.html", [b""])


@pytest.mark.parametrize(
    "head", [EARLIER, "", "<meta content=\"default-src 'none'; img-src data:; style-src 'sha256-4711'\">"]
)
def test_an_earlier_page_and_an_empty_file_are_replaced(head, tmp_path):
    out = tmp_path / "page.html"
    out.write_text(head)
    write_file(out, [b"new"])
    assert out.read_bytes() == b"new"


def test_nothing_else_is_replaced(blend, tmp_path):
    out = tmp_path / "notes.html"
    out.write_text("<p>my notes on visualchat")
    with pytest.raises(InspectionError, match="not written by visualchat and is left as it is"):
        write_report(blend, out, cache=tmp_path / "cache")
    assert out.read_text() == "<p>my notes on visualchat"
    assert not (tmp_path / "cache").exists()
    for path in (tmp_path, Path("/dev/null")):
        with pytest.raises(InspectionError, match="is not a file"):
            write_file(path, [b"new"])


def test_a_report_replaces_itself(report):
    require_replaceable(report)
