import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from blender.demo import CorpusSummary, draw_corpus

NUM_IMAGES = 100


@dataclass(frozen=True)
class Drawn:
    folder: Path
    summary: CorpusSummary

    def read(self, name):
        return json.loads((self.folder / name).read_text())

    def scenes(self):
        """Scene by (store, name)."""
        return {(scene["store"], scene["name"]): scene for scene in self.read("scenes.json")}


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "corpus"
    return Drawn(folder, draw_corpus(folder, NUM_IMAGES, seed=5, workers=1))
