"""What a terminal chat does with a session."""

import http.server
import io
import threading
import time

import pytest
from PIL import Image

from blender.core.errors import SessionError
from blender.serve import chat as chats
from blender.serve.chat import Chat
from blender.serve.sampling import Sampling

SHORT = Sampling(max_new_tokens=6)


@pytest.fixture
def loaded(model):
    return model


@pytest.fixture
def photos(tmp_path):
    for number, colour in enumerate(["red", "green", "blue"], 1):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"photo {number}.png")
    return tmp_path


def ask(chat, question):
    pieces = []
    answer = chat.ask(question, SHORT, pieces.append)
    assert "".join(pieces) == answer.text
    return answer


def test_images_wait_for_the_next_question_and_keep_their_numbers(loaded, photos):
    chat = Chat(loaded)
    assert list(chat.show([str(photos / "photo 1.png")])) == [1]
    assert list(chat.show([str(photos / "photo 2.png"), str(photos / "photo 3.png")])) == [2, 3]
    ask(chat, "What is it?")
    ask(chat, "And now?")
    assert list(chat.show([str(photos / "photo 1.png")])) == [4]
    ask(chat, "The same?")
    assert [turn.images for turn in chat.turns] == [[1, 2, 3], [], [4]]
    assert chat.session.images == tuple(image.content for image in chat.images)


def test_a_pattern_shows_files_in_the_order_of_their_names(loaded, photos):
    chat = Chat(loaded)
    chat.show([str(photos / "photo *.png")])
    assert [image.name[-5] for image in chat.waiting] == ["1", "2", "3"]


def test_the_model_can_be_asked_without_any_image(loaded):
    chat = Chat(loaded)
    assert ask(chat, "Who is there?").num_prompt_tokens > 0


def test_when_one_image_cannot_be_had_none_is_shown(loaded, photos):
    chat = Chat(loaded)
    (photos / "text.png").write_text("not an image")
    for bad, said in (("nowhere.png", "there is no image"), ("text.png", r"image 2 \(.*text.png\) cannot be read")):
        with pytest.raises(SessionError, match=said):
            chat.show([str(photos / "photo 1.png"), str(photos / bad)])
    assert chat.waiting == []


def test_a_question_that_cannot_be_asked_leaves_images_waiting(loaded, photos):
    chat = Chat(loaded)
    chat.show([str(photos / "photo 1.png")])
    with pytest.raises(SessionError, match="positions|long"):
        ask(chat, "What is it? " * 5_000)
    assert len(chat.waiting) == 1
    assert chat.turns == ()


def test_undo_takes_the_images_of_the_round_along(loaded, photos):
    chat = Chat(loaded)
    for number in (1, 2):
        chat.show([str(photos / f"photo {number}.png")])
        ask(chat, f"What is {number}?")
    assert chat.undo().question == "What is 2?"
    assert len(chat.images) == len(chat.session.images) == 1
    assert list(chat.show([str(photos / "photo 3.png")])) == [2]


def test_a_saved_conversation_goes_on_elsewhere_as_it_would_have_here(loaded, photos, tmp_path):
    chat = Chat(loaded, system="Be brief.")
    chat.show([str(photos / "photo 1.png")])
    ask(chat, "What is it?")
    chat.save(tmp_path / "saved.json")
    (photos / "photo 1.png").unlink()
    other = Chat(loaded)
    other.load(tmp_path / "saved.json")
    assert (other.system, other.turns, other.images) == (chat.system, chat.turns, chat.images)
    assert ask(other, "And now?").text == ask(chat, "And now?").text


@pytest.mark.parametrize("content", ["{}", "no json", '{"kind": "visualchat-conversation", "rounds": 3}'])
def test_a_file_of_something_else_is_refused_and_nothing_is_lost(loaded, tmp_path, content):
    chat = Chat(loaded)
    ask(chat, "What is it?")
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(SessionError, match="no saved conversation"):
        chat.load(tmp_path / "other.json")
    assert len(chat.turns) == 1


def test_saving_where_nothing_can_be_written_is_told(loaded, tmp_path):
    with pytest.raises(SessionError, match="cannot be written"):
        Chat(loaded).save(tmp_path / "nowhere" / "saved.json")


def test_another_system_text_keeps_the_rounds(loaded, photos):
    chat = Chat(loaded)
    chat.show([str(photos / "photo 1.png")])
    ask(chat, "What is it?")
    before, turns = chat.session.prompt_tokens("Then?").input_ids.tolist(), chat.turns
    chat.set_system("Be brief.")
    assert chat.turns == turns
    assert chat.session.prompt_tokens("Then?").input_ids.tolist() != before
    chat.set_system(None)
    assert chat.session.prompt_tokens("Then?").input_ids.tolist() == before


@pytest.fixture
def web():
    content = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(content, "PNG")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/banner":
                self.wfile.write(b"SSH-2.0-Server\r\n")
                return
            self.send_response(200 if self.path in ("/a.png", "/slow") else 404)
            self.end_headers()
            for number in range(len(content.getvalue()) if self.path == "/slow" else 1):
                self.wfile.write(content.getvalue()[number : number + 1 if self.path == "/slow" else None])
                time.sleep(0.02 if self.path == "/slow" else 0)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_server_that_sends_a_byte_at_a_time_is_left(loaded, web, monkeypatch):
    monkeypatch.setattr(chats, "_MAX_SECONDS", 0.2)
    with pytest.raises(SessionError, match=r"cannot be fetched: it took longer than 0.2 s"):
        Chat(loaded, allow_url=True).show([f"{web}/slow"])


def test_images_come_from_the_web_only_when_allowed(loaded, web):
    with pytest.raises(SessionError, match="--allow-url"):
        Chat(loaded).show([f"{web}/a.png"])
    chat = Chat(loaded, allow_url=True)
    assert list(chat.show([f"{web}/a.png"])) == [1]
    with pytest.raises(SessionError, match="cannot be fetched"):
        chat.show([f"{web}/b.png"])
    with pytest.raises(SessionError, match="cannot be fetched"):
        chat.show([f"{web}/banner"])
    with pytest.raises(SessionError, match="no web address"):
        chat.show(["file:///etc/passwd"])
