"""The examples of docs/interoperability.md run as they stand."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import pytest
import yaml

from blender import load_recipe, open_blend, write_blend
from blender.shards.energon import write_energon
from blender.shards.wids import write_wids
from tests import corpora

PAGE = (Path(__file__).parent.parent / "docs" / "interoperability.md").read_text(encoding="utf-8")
#: (heading, code) of each example in Python
EXAMPLES = [
    (section.partition("\n")[0], code)
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    for code in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
]
#: put behind an example's last line, into its loop over samples
PROBE = """
    print("read", conversation["key"], *(picture.size for picture in pictures), sep="\\t")
"""


@pytest.fixture(scope="module")
def blend(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples") / "blend"
    write_blend(load_recipe(corpora.write_recipe(corpus)), folder, workers=1)
    blend = open_blend(folder)
    write_energon(blend)
    write_wids(blend)
    return blend


def run(code, folder):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return [line.split("\t")[1:] for line in done.stdout.splitlines() if line.startswith("read\t")]


def test_there_is_an_example_of_each():
    assert [heading for heading, _ in EXAMPLES] == ["webdataset", "datasets", "datasets", "wids", "Megatron-Energon"]


@pytest.mark.slow
@pytest.mark.parametrize(("heading", "code"), EXAMPLES, ids=[f"{n} {head}" for n, (head, _) in enumerate(EXAMPLES)])
def test_an_example_reads_every_sample_of_train_once(blend, heading, code):
    package = re.search(r"^(?:import|from) (webdataset|datasets|wids|megatron)", code, flags=re.MULTILINE).group(1)
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    read = run(code.rstrip() + PROBE, blend.path.parent)
    assert sorted(key for key, *_ in read) == blend.index.filter(split="train")["key"].to_list()
    for key, *sizes in read:
        assert sizes == [str((image.width, image.height)) for image in blend[key].sample.images]


@pytest.mark.slow
def test_the_metadataset_mixes(blend):
    energon = pytest.importorskip("megatron.energon", reason="megatron-energon is not installed")
    described = yaml.safe_load(re.search(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL).group(1))
    described["splits"]["train"]["blend"].pop()
    (blend.path.parent / "mixed.yaml").write_text(yaml.safe_dump(described))

    @energon.stateless
    def as_it_is(raw):
        return raw

    class Encoder(energon.DefaultTaskEncoder):
        decoder = None
        cookers = [energon.Cooker(as_it_is, has_subflavors={"kind": "visualchat"})]

    alone = energon.WorkerConfig(rank=0, world_size=1, num_workers=0)
    shared = {"task_encoder": Encoder(), "worker_config": alone, "batch_size": None}
    train = energon.get_train_dataset(
        blend.path.parent / "mixed.yaml", **shared, shuffle_buffer_size=None, max_samples_per_sequence=None
    )
    num_train = blend.index.filter(split="train").height
    keys = [sample["__key__"] for sample in islice(energon.get_loader(train), num_train)]
    assert sorted(keys) == blend.index.filter(split="train")["key"].to_list()
    Encoder.cookers = [energon.Cooker(as_it_is)]
    val = energon.get_val_dataset(blend.path.parent / "mixed.yaml", **shared)
    keys = [sample["__key__"] for sample in energon.get_loader(val)]
    assert keys == blend.index.filter(split="eval")["key"].to_list()
