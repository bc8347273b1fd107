"""What is said of a folder that holds no model, before torch is imported."""

import subprocess
import sys
from pathlib import Path

import pytest

from blender.core.errors import ModelError
from blender.serve.folder import require_model_folder


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "is no model: it has no config.json"),
        (b"", "config.json cannot be read"),
        (b'{"model_type"', "config.json cannot be read"),
        (b"\xff\xfe{}", "config.json cannot be read"),
        (b"[]", "names no model_type"),
        (b"{}", "names no model_type"),
    ],
)
def test_a_folder_without_a_sound_configuration_is_none_of_a_model(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        require_model_folder(tmp_path)


def test_a_blend_and_a_file_are_no_models(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ModelError, match="a blend and no model"):
        require_model_folder(tmp_path)
    with pytest.raises(ModelError, match="is no folder"):
        require_model_folder(tmp_path / "manifest.json")


def test_a_sound_one_is_taken(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "visualchat"}')
    require_model_folder(tmp_path)


@pytest.mark.parametrize("command", [["chat"], ["serve", "--port", "0"], ["eval", "--data", "x.json", "--out", "x"]])
@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_commands_say_so_before_torch_is_imported(tmp_path, command, kind):
    folder = tmp_path / kind
    if kind == "empty":
        folder.mkdir()
    code = (
        "import sys; from blender.cli import app; from blender.core.errors import BlenderError\n"
        "try: app(standalone_mode=False)\n"
        "except BlenderError as error: print(error.message, 'torch' in sys.modules)"
    )
    arguments = [command[0], str(folder), *command[1:]]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    wanted = f"there is no folder {folder}" if kind == "missing" else f"{folder} is no model: it has no config.json"
    assert done.stdout == f"{wanted} False\n"
