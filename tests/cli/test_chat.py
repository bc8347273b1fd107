"""``visualchat chat`` as it is typed."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.serve.tiny_models import save_model

CLI = Path(__file__).parents[2] / "cli.py"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("chatting"))


def chat(model, text, *options):
    return subprocess.run(
        [sys.executable, CLI, "chat", model, "--device", "cpu", "--max-new-tokens", "5", *options],
        input=text, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def test_a_conversation_typed_from_beginning_to_end(model, tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "red one.png")
    saved = tmp_path / "my talk.json"
    done = chat(
        model,
        f'/image "{tmp_path}/red one.png"\nWhat is it?\n/save {saved}\n/undo\n/load {saved}\n/history\n/nothing\n'
        "/image /nowhere.png\n/undo\n/undo\n/reset\n/help\n/quit\nnever asked\n",
    )
    assert done.returncode == 0
    assert "image 1 will be shown with the next question" in done.stdout
    assert "taken back: What is it?" in done.stdout
    assert "1 rounds and 1 images loaded" in done.stdout
    assert "red one.png] What is it?" in done.stdout
    assert "/image PATH" in done.stdout
    assert "never asked" not in done.stdout
    for said in ("there is no /nothing", "there is no image /nowhere.png", "nothing to take back"):
        assert said in done.stderr


def test_a_folder_of_something_else_is_refused_in_a_sentence(tmp_path):
    done = chat(tmp_path, "")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_on_a_terminal_control_c_stops_the_answer_and_control_d_leaves(model):
    ours, theirs = pty.openpty()
    command = [sys.executable, CLI, "chat", model, "--device", "cpu", "--max-new-tokens", "400"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    read_until(ours, "you> ")
    os.write(ours, b"What is it?\n")
    read_until(ours, "What is it?\r\n")
    time.sleep(0.3)
    os.kill(process.pid, 2)
    heard = read_until(ours, "you> ")
    assert "positions kept" in heard
    os.write(ours, b"\x04")
    assert process.wait(timeout=30) == 0
    os.close(ours)


def read_until(terminal, text, seconds=90):
    heard, end = "", time.monotonic() + seconds
    while text not in heard and time.monotonic() < end:
        if select.select([terminal], [], [], 1)[0]:
            heard += os.read(terminal, 4096).decode(errors="replace")
    assert text in heard, heard
    return heard
