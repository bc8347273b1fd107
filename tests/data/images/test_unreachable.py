"""A server that fails for a moment changes nothing; one that goes on failing stops the blend and drops no image."""

import pytest

from blender import load_recipe, write_blend
from blender.data.images import remote
from blender.data.images.remote import UnreachableError, open_file
from tests import corpora
from tests.servers import address, asked_for, serving


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(remote, "_FIRST_PAUSE", 0.01)


@pytest.fixture
def server(corpus):
    with serving(corpus, lists=True) as server:
        yield server


def write(corpus, server, out):
    def from_server(recipe):
        recipe["images"]["coco"] = address(server, "coco")

    return write_blend(load_recipe(corpora.write_recipe(corpus, from_server)), out, workers=1)


@pytest.mark.parametrize("fault", [500, 503, 429, "cut", "long"])
def test_what_passes_is_tried_again(server, corpus, fault):
    name = corpora.coco_name(3)
    server.faults[name] = [fault] * 3
    with open_file(address(server, f"coco/{name}")) as file:
        assert file.read_all() == (corpus / "coco" / name).read_bytes()


def test_a_blend_whose_server_failed_now_and_then_has_the_same_bytes(server, corpus, written, tmp_path):
    for number in (1, 5, 9):
        server.faults[corpora.coco_name(number)] = [503, "cut", "long"]
    write(corpus, server, tmp_path / "out")
    shards = [
        {k: v for k, v in corpora.contents(out).items() if k.endswith(".tar")} for out in (tmp_path / "out", written)
    ]
    assert shards[0] == shards[1]


def test_one_image_that_the_server_does_not_send_stops_the_blend(server, corpus, tmp_path):
    name = corpora.coco_name(5)
    server.faults[name] = [503] * 1_000
    with pytest.raises(UnreachableError, match=rf"{name} in image store coco .* cannot be read: .*503"):
        write(corpus, server, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_server_refuses_is_asked_once(server, corpus):
    name = corpora.coco_name(3)
    server.faults[name] = [403] * 10
    with pytest.raises(remote.StoreError, match="403"):
        open_file(address(server, f"coco/{name}"))
    assert asked_for(server, name) == 1


def test_a_server_that_fails_is_not_one_that_sends_no_parts(server):
    server.faults["detail.json"] = [500] * 100
    with pytest.raises(UnreachableError, match="500"):
        open_file(address(server, "detail.json"))
