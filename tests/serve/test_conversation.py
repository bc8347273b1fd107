"""What a terminal chat does with a session."""

import http.server
import io
import threading

import pytest
from PIL import Image

from blender.core.errors import SessionError
from blender.serve.conversation import Conversation
from blender.serve.loading import open_model
from blender.serve.sampling import Sampling
from tests.serve.tiny_models import save_model

SHORT = Sampling(max_new_tokens=6)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return open_model(save_model(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.fixture
def photos(tmp_path):
    for number, colour in enumerate(["red", "green", "blue"], 1):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"photo {number}.png")
    return tmp_path


def ask(talk, question):
    pieces = []
    answer = talk.ask(question, SHORT, pieces.append)
    assert "".join(pieces) == answer.text
    return answer


def test_images_wait_for_the_next_question_and_keep_their_numbers(loaded, photos):
    talk = Conversation(loaded)
    assert list(talk.show([str(photos / "photo 1.png")])) == [1]
    assert list(talk.show([str(photos / "photo 2.png"), str(photos / "photo 3.png")])) == [2, 3]
    ask(talk, "What is it?")
    ask(talk, "And now?")
    assert list(talk.show([str(photos / "photo 1.png")])) == [4]
    ask(talk, "The same?")
    assert [one.images for one in talk.rounds] == [(1, 2, 3), (), (4,)]
    assert talk.session.images == tuple(picture.content for picture in talk.pictures)


def test_a_pattern_shows_files_in_the_order_of_their_names(loaded, photos):
    talk = Conversation(loaded)
    talk.show([str(photos / "photo *.png")])
    assert [picture.name[-5] for picture in talk.waiting] == ["1", "2", "3"]


def test_the_model_can_be_asked_without_any_image(loaded):
    talk = Conversation(loaded)
    assert ask(talk, "Who is there?").num_prompt_tokens > 0


def test_when_one_image_cannot_be_had_none_is_shown(loaded, photos):
    talk = Conversation(loaded)
    (photos / "text.png").write_text("not an image")
    for bad, said in (("nowhere.png", "there is no image"), ("text.png", r"image 2 \(.*text.png\) cannot be read")):
        with pytest.raises(SessionError, match=said):
            talk.show([str(photos / "photo 1.png"), str(photos / bad)])
    assert talk.waiting == []


def test_a_question_that_cannot_be_asked_leaves_images_waiting(loaded, photos):
    talk = Conversation(loaded)
    talk.show([str(photos / "photo 1.png")])
    with pytest.raises(SessionError, match="positions|long"):
        ask(talk, "What is it? " * 5_000)
    assert len(talk.waiting) == 1
    assert talk.rounds == ()


def test_undo_takes_the_images_of_the_round_along(loaded, photos):
    talk = Conversation(loaded)
    for number in (1, 2):
        talk.show([str(photos / f"photo {number}.png")])
        ask(talk, f"What is {number}?")
    assert talk.undo().question == "What is 2?"
    assert len(talk.pictures) == len(talk.session.images) == 1
    assert list(talk.show([str(photos / "photo 3.png")])) == [2]


def test_a_saved_conversation_goes_on_elsewhere_as_it_would_have_here(loaded, photos, tmp_path):
    talk = Conversation(loaded, system="Be brief.")
    talk.show([str(photos / "photo 1.png")])
    ask(talk, "What is it?")
    talk.save(tmp_path / "talk.json")
    (photos / "photo 1.png").unlink()
    other = Conversation(loaded)
    other.load(tmp_path / "talk.json")
    assert (other.system, other.rounds, other.pictures) == (talk.system, talk.rounds, talk.pictures)
    assert ask(other, "And now?").text == ask(talk, "And now?").text


@pytest.mark.parametrize("content", ["{}", "no json", '{"kind": "visualchat-conversation", "rounds": 3}'])
def test_a_file_of_something_else_is_refused_and_nothing_is_lost(loaded, tmp_path, content):
    talk = Conversation(loaded)
    ask(talk, "What is it?")
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(SessionError, match="no saved conversation"):
        talk.load(tmp_path / "other.json")
    assert len(talk.rounds) == 1


def test_saving_where_nothing_can_be_written_is_told(loaded, tmp_path):
    with pytest.raises(SessionError, match="cannot be written"):
        Conversation(loaded).save(tmp_path / "nowhere" / "talk.json")


def test_another_system_text_keeps_the_rounds(loaded, photos):
    talk = Conversation(loaded)
    talk.show([str(photos / "photo 1.png")])
    ask(talk, "What is it?")
    before, rounds = talk.session.prompt_tokens("Then?").input_ids.tolist(), talk.rounds
    talk.say_first("Be brief.")
    assert talk.rounds == rounds
    assert talk.session.prompt_tokens("Then?").input_ids.tolist() != before
    talk.say_first(None)
    assert talk.session.prompt_tokens("Then?").input_ids.tolist() == before


@pytest.fixture
def web():
    content = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(content, "PNG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/a.png" else 404)
            self.end_headers()
            self.wfile.write(content.getvalue())

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_images_come_from_the_web_only_when_allowed(loaded, web):
    with pytest.raises(SessionError, match="--allow-url"):
        Conversation(loaded).show([f"{web}/a.png"])
    talk = Conversation(loaded, allow_url=True)
    assert list(talk.show([f"{web}/a.png"])) == [1]
    with pytest.raises(SessionError, match="cannot be fetched"):
        talk.show([f"{web}/b.png"])
    with pytest.raises(SessionError, match="no web address"):
        talk.show(["file:///etc/passwd"])
