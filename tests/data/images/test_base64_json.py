import base64
import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.core.errors import StoreError
from blender.data.images import ImageLimits, open_store, survey_image
from blender.data.images.base64_json import scan_base64_json
from blender.data.images.files import MemoryFile
from tests.data.images.pictures import picture

DATA = picture()
TEXT = base64.b64encode(DATA).decode()


def open_json(folder: Path, text: str | bytes):
    path = folder / "SD.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return open_store("sd", str(path))


def fault_in(folder: Path, text: str) -> str:
    with open_json(folder, text) as store, pytest.raises(StoreError) as caught:
        store.resolve("x")
    assert "sd" in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        f'{{"a":"{TEXT}"}}',
        f' \n{{\t"a" :\r\n "{TEXT}"\n}}\n',
        f'\ufeff{{"a": "{TEXT}"}}',
        f'{{"x": "", "a": "{TEXT}"}}',
        '{"a": "' + TEXT.replace("/", "\\/") + '"}',
        '{"a": "' + TEXT.replace("/", "\\u002F") + '"}',
        '{"a": "' + base64.encodebytes(DATA).decode().replace("\n", "\\n") + '"}',
        '{"a": "' + base64.encodebytes(DATA).decode().replace("\n", "  ") + '"}',
        f'{{"a": "{TEXT.rstrip("=")}"}}',
        '{"a": "' + base64.urlsafe_b64encode(DATA).decode() + '"}',
        f'{{"a": "data:image/jpeg;base64,{TEXT}"}}',
        f'{{"a": "data:image\\/jpeg;base64,{TEXT}"}}',
        f'{{"\\u0061": "{TEXT}"}}',
        f'{{"a": "AAAA", "a": "{TEXT}"}}',
    ],
)
def test_a_picture_is_read_however_its_text_is_written(tmp_path, text):
    with open_json(tmp_path, text) as store:
        member = store.resolve("a")
        assert store.read(member) == DATA
        info = survey_image(store, member, ImageLimits())
        assert (info.reason, info.num_bytes, info.extension) == (None, len(DATA), "jpg")


@pytest.mark.parametrize("num_bytes", range(8))
def test_lengths_are_known_without_decoding(tmp_path, num_bytes):
    data = bytes(range(num_bytes))
    with open_json(tmp_path, json.dumps({"a": base64.b64encode(data).decode()})) as store:
        with store.open(store.resolve("a")) as file:
            assert file.num_bytes == num_bytes
            assert [file.read_at(at, 1) for at in range(num_bytes)] == [data[at : at + 1] for at in range(num_bytes)]
        assert store.read(store.resolve("a")) == data


def test_every_part_of_a_picture_can_be_read_by_itself(tmp_path):
    data = bytes(range(256))
    text = json.dumps({"a": base64.b64encode(data).decode()})
    with open_json(tmp_path, text) as store, store.open(store.resolve("a")) as file:
        for start in range(0, 256, 7):
            for num_bytes in (1, 2, 3, 50, 400):
                assert file.read_at(start, num_bytes) == data[start : start + num_bytes]


def test_a_text_that_is_not_base64_is_unusable_by_itself(tmp_path):
    with open_json(tmp_path, f'{{"bad": "no base64 \\" here", "short": "A", "good": "{TEXT}"}}') as store:
        for name in ("bad", "short"):
            assert survey_image(store, store.resolve(name), ImageLimits()).reason == "unreadable"
            with pytest.raises(StoreError, match=f"{name} in image store sd"):
                store.read(store.resolve(name))
        assert store.read(store.resolve("good")) == DATA


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("5", "a number"),
        ("-1.5e3", "a number"),
        ("null", "null"),
        ("true", "true"),
        ("NaN", "a number"),
        ("[]", "a list"),
        ('["AAAA", [1, {"x": "}]\\""}]]', "a list"),
        ('{"b": "AAAA"}', "an object"),
    ],
)
def test_a_value_that_is_no_text_loses_its_picture_and_no_other(tmp_path, value, kind):
    with open_json(tmp_path, f'{{"first": "{TEXT}", "bad": {value} , "good": "{TEXT}"}}') as store:
        info = survey_image(store, store.resolve("bad"), ImageLimits())
        assert info.reason == "unreadable"
        assert "bad in image store sd" in info.detail
        assert f"its value is {kind}, not base64 text" in info.detail
        assert store.read(store.resolve("first")) == store.read(store.resolve("good")) == DATA


@given(
    st.recursive(st.one_of(st.none(), st.integers(), st.text(st.sampled_from('[{"\\}]a'))), st.lists), st.integers(1, 9)
)
def test_values_of_other_kinds_may_span_chunks(value, chunk):
    raw = json.dumps({"a": value, "b": "AAAA"}).encode()
    entries = list(scan_base64_json(MemoryFile(raw), chunk, reach=200))
    assert [(entry.name, bool(entry.kind)) for entry in entries] == [("a", not isinstance(value, str)), ("b", False)]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": 5', "cut short: it ends at byte 7"),
        ('{"a": nil}', "at byte 6: expected the base64 text of 'a', found"),
        ('{"a": ["AAAA"', "cut short: it ends at byte 13, inside of 'a'"),
        ('{"a": {"b": "AAAA', "cut short: it ends at byte 17, inside of 'a'"),
        ('{"a": "AAAA" "b": "AAAA"}', "at byte 13: expected ',' or '}'"),
        ('{"a": "AAAA",}', "at byte 13: expected a picture's name"),
        ('{a: "AAAA"}', "at byte 1: expected a picture's name"),
        ('{"a": "AAAA"} {}', "at byte 14: expected the end of the file, found an object"),
        ('{"\\x": "AAAA"}', "not valid JSON"),
        ('{"a": "AAAA', "cut short: it ends at byte 11, inside of 'a'"),
        ('{"a": "AAAA"', "cut short: it ends at byte 12"),
        ('{"a": "AAAA", "b', "cut short: it ends at byte 16"),
        ('{"a": "AAAA\\"', "cut short: it ends at byte 13, inside of 'a'"),
        ("{", "cut short: it ends at byte 1"),
    ],
)
def test_a_file_that_is_cut_or_of_another_kind_is_told_with_the_byte(tmp_path, text, fault):
    assert re.search(fault, fault_in(tmp_path, text))


@pytest.mark.parametrize("cut", range(0, 300, 23))
def test_a_file_cut_anywhere_is_never_taken_for_a_whole_one(tmp_path, cut):
    text = json.dumps({f"SD_IMG_{number}": "QUJD" * 20 for number in range(5)})
    with pytest.raises(StoreError), open_json(tmp_path, text[: len(text) - 1 - cut]) as store:
        store.resolve("x")


values = st.text(st.sampled_from('A/=\\"\n é'), max_size=40)


@settings(max_examples=150)
@given(st.dictionaries(values, values, max_size=6), st.integers(1, 64), st.sampled_from([None, 1]), st.booleans())
def test_the_scanner_sees_what_json_sees_wherever_chunks_end(pictures, chunk, indent, ascii_only):
    raw = json.dumps(pictures, indent=indent, ensure_ascii=ascii_only).encode()
    entries = list(scan_base64_json(MemoryFile(raw), chunk, reach=1024))
    assert [entry.name for entry in entries] == list(pictures)
    for entry in entries:
        text = raw[entry.offset : entry.offset + entry.num_bytes]
        assert json.loads(b'"' + text + b'"') == pictures[entry.name]
        assert entry.unclean == (b"\\" in text or b" " in text)


@given(st.text(st.sampled_from('\\"A'), max_size=60), st.integers(1, 5), st.integers(1, 9))
def test_runs_of_backslashes_may_span_chunks(text, chunk, reach):
    raw = b'{"a":' + json.dumps(text).encode() + b',"b":"A"}'
    entries = list(scan_base64_json(MemoryFile(raw), chunk, reach + 8))
    assert [entry.name for entry in entries] == ["a", "b"]


SCAN = """
import resource, sys
from blender.data.images import open_store
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_store("sd", sys.argv[1]) as store:
    assert store.resolve("SD_IMG_00999") is not None
    assert len(store.read(store.resolve("SD_IMG_00500"))) == 90_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("slash", ["/", "\\/", "/\\n", "  /"])
def test_a_picture_that_is_too_large_is_refused_in_little_memory(tmp_path, slash):
    (tmp_path / "SD.json").write_text('{"a": "' + f"QU{slash}+" * 1_000_000 + 'QQ"}')
    with open_store("sd", str(tmp_path / "SD.json")) as store:
        member = store.resolve("a")
        tracemalloc.start()
        info = survey_image(store, member, ImageLimits(max_bytes=100_000))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (info.reason, info.num_bytes) == ("too_many_bytes", 3_000_001)
    assert peak < 4_000_000


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "SD.json"
    text = base64.b64encode(bytes(90_000)).decode()
    with path.open("w") as file:
        file.write("{")
        for number in range(1000):
            file.write(f'{", " if number else ""}"SD_IMG_{number:05d}": "{text}"')
        file.write("}")
    assert path.stat().st_size > 120_000_000
    run = subprocess.run([sys.executable, "-c", SCAN, path], capture_output=True, text=True, check=True)
    path.unlink()
    unit = 1024 if sys.platform != "darwin" else 1
    assert int(run.stdout) * unit < 50_000_000
