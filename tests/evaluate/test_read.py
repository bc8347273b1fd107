"""From files and blends to conversations."""

import json
import shutil
import zipfile

import pytest

from blender.core.errors import EvaluationError, ShardError, SourceError
from blender.evaluate.read import read_data
from tests import corpora
from tests.evaluate.conftest import TALK, write


def test_the_published_files_are_read(conversations, photos):
    data = read_data(str(conversations))
    assert data.name == "talk"
    assert [one.name for one in data.conversations] == list(TALK)
    two = data.conversations[0]
    assert [one.images for one in two.rounds] == [(1,), (2, 3), ()]
    assert [one.question for one in two.rounds] == ["What is it?", "And these?", "Why?"]
    assert two.read() == tuple((photos / "photos" / f"{number}.jpg").read_bytes() for number in range(3))
    assert not two.has_references


@pytest.mark.parametrize(
    "entry",
    [
        ["What?", "photos/0.jpg photos/1.jpg"],
        ["What?", ["photos/0.jpg", "photos/1.jpg"]],
        ["What?", "photos/0.jpg", "photos/1.jpg"],
        {"question": "What?", "images": "photos/0.jpg photos/1.jpg"},
        {"question": "What?", "images": ["photos/0.jpg", "photos/1.jpg"], "answer": "A cat."},
    ],
)
def test_a_round_may_be_written_in_several_ways(photos, entry):
    (one,) = read_data(str(write(photos / "talk.json", {"a": [entry]}))).conversations[0].rounds
    assert (one.question, one.images, one.names) == ("What?", (1, 2), ("photos/0.jpg", "photos/1.jpg"))
    assert one.reference == (entry.get("answer") if isinstance(entry, dict) else None)


def test_a_path_with_spaces_is_one_path_where_there_is_such_a_file(photos):
    shutil.copy(photos / "photos" / "0.jpg", photos / "my holiday photo.jpg")
    (one,) = (
        read_data(str(write(photos / "t.json", {"a": [["What?", "my holiday photo.jpg"]]}))).conversations[0].rounds
    )
    assert one.names == ("my holiday photo.jpg",)


def test_images_are_looked_for_where_the_program_runs_as_well(photos, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = write(elsewhere / "talk.json", TALK)
    with pytest.raises(EvaluationError, match=r"conversation 'two', round 1: there is no image photos/0\.jpg"):
        read_data(str(file))
    monkeypatch.chdir(photos)
    assert read_data(str(file)).conversations[0].num_images == 3


def test_images_may_be_in_an_archive(photos, tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in (photos / "photos").iterdir():
            archive.write(path, f"photos/{path.name}")
    before = read_data(str(write(photos / "talk.json", TALK))).conversations[0].read()
    shutil.rmtree(photos / "photos")
    assert read_data(str(photos / "talk.json"), images=str(tmp_path / "photos.zip")).conversations[0].read() == before


def test_no_image_of_several_is_lost_where_the_last_path_would_do_for_all(photos):
    file = write(photos / "talk.json", {"a": [["What?", "photos/9.jpg ./photos/2.jpg"]]})
    with zipfile.ZipFile(photos / "photos.zip", "w") as archive:
        archive.write(photos / "photos" / "2.jpg", "photos/2.jpg")
    with pytest.raises(EvaluationError, match=r"no image photos/9\.jpg"):
        read_data(str(file), images=str(photos / "photos.zip"))


def test_more_than_eight_images_are_fine(photos):
    names = " ".join(["photos/0.jpg"] * 20)
    data = read_data(str(write(photos / "t.json", {"a": [["What?", names], ["And?", "photos/1.jpg"]]})))
    assert data.conversations[0].rounds[1].images == (21,)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("photos/9.jpg", r"conversation 'a', round 2: there is no image photos/9\.jpg"),
        ("photos/note.jpg", r"conversation 'a', round 2: photos/note\.jpg cannot be used: it begins with 'hello'"),
        ("photos/half.jpg", r"conversation 'a', round 2: photos/half\.jpg cannot be used"),
        ("../secret.jpg", r"conversation 'a', round 2: image name .* climbs out of the store"),
        ("/etc/passwd", r"conversation 'a', round 2: image name .* is an absolute path"),
        ("photos/link.jpg", r"conversation 'a', round 2: image name .* leads out of the store"),
    ],
)
def test_an_image_that_cannot_be_shown_is_told_with_file_and_conversation(photos, tmp_path_factory, name, words):
    (photos / "photos" / "note.jpg").write_text("hello")
    (photos / "photos" / "half.jpg").write_bytes((photos / "photos" / "0.jpg").read_bytes()[:-60])
    outside = tmp_path_factory.mktemp("outside") / "x.jpg"
    corpora.draw(outside, 5)
    (photos / "photos" / "link.jpg").symlink_to(outside)
    file = write(photos / "talk.json", {"a": [["Hi."], ["What?", name]]})
    with pytest.raises(EvaluationError, match=words) as error:
        read_data(str(file))
    assert str(file) in error.value.message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{}", "holds no conversations"),
        ('{"a": []}', "conversation 'a' is no list of rounds"),
        ('{"a": [["What?"], []]}', "conversation 'a', round 2"),
        ('{"a": [[""]]}', "conversation 'a', round 1 has no question"),
        ('{"a": [[3, "x.jpg"]]}', "conversation 'a', round 1 has no question"),
        ('{"a": [["What?", 3]]}', "something else than texts"),
        ('{"a": [{"question": "What?", "image": "x.jpg"}]}', "conversation 'a', round 1"),
        ('{"a": [["What?"]], "a": [["Who?"]]}', "two entries named 'a'"),
        ('{"a": [["What?"]', "no JSON"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, content, words):
    (tmp_path / "talk.json").write_text(content)
    with pytest.raises(EvaluationError, match=words) as error:
        read_data(str(tmp_path / "talk.json"))
    assert "talk.json" in error.value.message


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(SourceError, match="nothing.json"):
        read_data(str(tmp_path / "nothing.json"))


def test_only_the_first_conversations_are_read_when_asked(conversations, drawn):
    assert [one.name for one in read_data(str(conversations), limit=2).conversations] == ["two", "one"]
    assert len(read_data(str(drawn / "blend"), limit=2).conversations) == 2


def test_sparkles_dialogues_are_read(tmp_path):
    dialogues = [corpora.sparkles([1, 2, 3]), {"dialogue": []}, corpora.sparkles([4, 5])]
    dialogues[2]["evaluation_id"] = 7
    for number in range(1, 6):
        corpora.draw(tmp_path / "images" / f"{number}.jpg", number)
    (tmp_path / "annotations").mkdir()
    data = read_data(str(write(tmp_path / "annotations" / "eval.json", dialogues)))
    assert [one.name for one in data.conversations] == ["0", "7"]
    first, second = data.conversations[0].rounds
    assert (first.images, second.images) == ((1, 2), (3,))
    assert first.question == "Compare image 1 image 2."
    assert second.reference == "image 3 is better than image 1." or second.reference.lower().startswith("image 3")
    assert data.conversations[0].has_references
    assert len(data.warnings) == 1
    assert "dialogue 1 is not asked" in data.warnings[0]


def test_a_dialogue_without_its_image_is_told(tmp_path):
    file = write(tmp_path / "eval.json", [corpora.sparkles([1, 2])])
    corpora.draw(tmp_path / "images" / "1.jpg", 1)
    with pytest.raises(EvaluationError, match=r"eval\.json, dialogue 0: there is no image 2\.jpg"):
        read_data(str(file))


def test_the_eval_split_of_a_blend_is_read(drawn):
    data = read_data(str(drawn / "blend"))
    assert data.name == "demo-eval"
    assert all(one.name.startswith("eval-") and one.has_references for one in data.conversations)
    for one in data.conversations:
        assert [number for each in one.rounds for number in each.images] == list(range(1, one.num_images + 1))
        assert len(one.read()) == one.num_images == sum(len(each.names) for each in one.rounds)


def test_another_split_of_a_blend_can_be_asked(drawn):
    assert read_data(str(drawn / "blend"), split="train").conversations[0].name.startswith("train-")
    with pytest.raises(EvaluationError, match="test split of .* has no samples"):
        read_data(str(drawn / "blend"), split="test")


def test_a_folder_that_is_no_blend_is_refused(tmp_path):
    with pytest.raises(ShardError, match="not a finished blend"):
        read_data(str(tmp_path))


def test_drawn_questions_are_found_and_checked(drawn, tmp_path):
    found = read_data(str(drawn / "blend"), split="train")
    kinds = {one.check.kind for each in found.conversations for one in each.rounds if one.check}
    assert kinds >= {"count", "colour", "place", "difference", "reference"}
    listed = {(q["source"], q["record"], q["turn"]) for q in json.loads((drawn / "corpus/questions.json").read_text())}
    checked = {
        (one.check.record.source, one.check.record.record, one.check.record.turn)
        for split in ("train", "eval")
        for each in read_data(str(drawn / "blend"), split=split).conversations
        for one in each.rounds
        if one.check
    }
    assert len(checked) >= 0.95 * len(listed)
    given = read_data(str(drawn / "blend"), split="train", questions=drawn / "corpus" / "questions.json")
    assert given.fingerprints() == found.fingerprints()
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_data(str(drawn / "blend"), questions=tmp_path / "no.json")
    (tmp_path / "no.json").write_text("[]")
    assert (
        "has no question of this blend" in read_data(str(drawn / "blend"), questions=tmp_path / "no.json").warnings[0]
    )


def test_a_fingerprint_tells_what_is_asked(conversations, photos):
    before = read_data(str(conversations)).fingerprints()
    write(photos / "talk.json", {**TALK, "one": [["Describe this image.", "photos/3.jpg"]]})
    after = read_data(str(photos / "talk.json")).fingerprints()
    assert {name for name in before if before[name] != after[name]} == {"one"}
