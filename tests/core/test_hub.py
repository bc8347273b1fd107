"""Models are looked for where they can be, and one sentence says where they are not."""

import socket
import time

import pytest
from huggingface_hub import constants

from blender.core import hub
from blender.core.errors import ModelError, StreamError
from blender.core.hub import load_named, locate


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    hub._answers.cache_clear()
    yield
    hub._answers.cache_clear()


@pytest.fixture(params=["offline", "refused", "silent"])
def without_network(request, monkeypatch):
    """No network: as the environment says, as a closed port says, as nobody says."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", request.param == "offline")
    server = socket.create_server(("127.0.0.1", 0))
    if request.param == "refused":
        server.close()
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    else:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
    yield request.param
    server.close()


@pytest.mark.parametrize(
    "name", ["./nothing", "/nowhere/at/all", "~/nothing-here", "a/b/c", "../x", "C:\\models\\x", ""]
)
def test_a_path_that_leads_nowhere_is_no_such_folder_and_no_repository_name(name):
    if name == "":
        name = "/nothing/"
    with pytest.raises(ModelError, match="no such folder: .*names of the hub look like org/name"):
        locate("language model", name)


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert locate("tokenizer", tmp_path) == str(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="is a file, and a folder is wanted"):
        locate("tokenizer", tmp_path / "file")


@pytest.mark.parametrize("name", ["language", "org/name"])
def test_without_a_network_nothing_is_tried_again(without_network, name):
    start = time.monotonic()
    with pytest.raises(StreamError, match=f"there is no folder {name} .*; (HF_HUB_OFFLINE is set|.*does not answer)"):
        load_named("tokenizer", name, lambda _: pytest.fail("the library was asked"), StreamError)
    assert time.monotonic() - start < 2


def test_without_a_network_what_was_fetched_before_is_used(without_network, tmp_path):
    commit = "0" * 40
    repository = tmp_path / "cache" / "models--org--name"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (snapshot / "tokenizer_config.json").write_text("{}")
    assert locate("tokenizer", "org/name") == str(snapshot)


def test_what_a_library_says_of_a_folder_is_one_sentence(tmp_path):
    def load(name):
        raise OSError(f"{name} has nothing\nand more lines\n")

    with pytest.raises(ModelError, match=r"the tokenizer .* cannot be loaded: .* has nothing \(name a model"):
        load_named("tokenizer", tmp_path, load)
