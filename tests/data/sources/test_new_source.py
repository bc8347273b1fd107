"""The source reader that docs/architecture.md shows works as it says."""

import re
from pathlib import Path

from blender.data.records import Skip
from blender.data.sources import SOURCES, _batched, read_file

PAGE = Path(__file__).parents[3] / "docs" / "architecture.md"


def test_the_reader_of_the_page_reads_every_record_once(monkeypatch, save):
    (code,) = re.findall(r"```python\n(\"\"\"Read captions.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    module = {"__name__": "captions"}
    exec(compile(code, str(PAGE), "exec"), module)
    monkeypatch.setitem(SOURCES, "captions", _batched(module["read_captions"]))
    path = save(
        [
            {"id": 7, "file": "a.jpg", "caption": "A dog. "},
            {"file": "b.jpg", "caption": "see http://host"},
            {"file": "", "caption": "A cat."},
            {"file": "c.jpg", "caption": "A cow.", "video": "c.mp4"},
            {"file": "d.jpg", "caption": " "},
        ]
    )
    conversation, *skips = read_file("captions", path)
    assert conversation.images == ("a.jpg",)
    assert [(turn.images, turn.question, turn.answer) for turn in conversation.turns] == [
        ([1], "Describe this image.", "A dog.")
    ]
    assert conversation.records[0].id == "7"
    assert all(isinstance(skip, Skip) for skip in skips)
    assert [skip.reason for skip in skips] == ["web_address", "image_name", "unread_media", "empty_text"]
