import json

import pytest
import torch

from blender.demo import draw_corpus
from blender.recipe import load_recipe
from blender.shards.blend import write_blend
from tests import corpora
from tests.serve.tiny_models import save_model

#: what must show as text, whatever it looks like
NASTY = "<script>document.title = 'broken'</script> </script><img src=x onerror=alert(1)> &amp; \"q\" <b>bold</b>"


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """Folders of two tiny models."""
    root = tmp_path_factory.mktemp("models")
    return [
        save_model(root / name, attention=name, seed=seed, positions=1024)
        for seed, name in enumerate(("mmca", "causal"))
    ]


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A drawn corpus and a blend of it."""
    root = tmp_path_factory.mktemp("drawn")
    draw_corpus(root / "corpus", num_images=60, workers=1)
    recipe = load_recipe("demo", [f"data={root / 'corpus'}"])
    write_blend(recipe, root / "blend", workers=1)
    return root


@pytest.fixture
def photos(tmp_path):
    """A folder with five photos and a file of conversations about them."""
    for number in range(5):
        corpora.draw(tmp_path / "photos" / f"{number}.jpg", number)
    return tmp_path


@pytest.fixture
def conversations(photos):
    """A file of conversations as the published evaluation has them."""
    return write(photos / "talk.json", TALK)


TALK = {
    "two": [["What is it?", "photos/0.jpg"], ["And these?", "photos/1.jpg ./photos/2.jpg"], ["Why?"]],
    "one": [["Describe the image.", "photos/3.jpg"]],
    "none": [["Who are you?"], ["And this?", "photos/4.jpg"]],
}


def write(path, content):
    path.write_text(json.dumps(content))
    return path
