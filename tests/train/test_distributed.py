"""Two real processes over gloo give what one gives, at every ZeRO stage."""

import json
import shutil
import subprocess
import sys

import pytest
from safetensors.torch import load_file

from blender.model import VisualChatModel
from blender.train.run import train
from tests.train.recipes import gradients, losses

pytestmark = pytest.mark.slow


def launch(nproc, *command):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(nproc)]
    done = subprocess.run([*torchrun, *map(str, command)], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-6000:]
    return done


@pytest.fixture(scope="module")
def runs(content, tmp_path_factory):
    folder = tmp_path_factory.mktemp("two-ranks")
    (folder / "content.json").write_text(json.dumps(content))
    launch(2, "-m", "tests.train.two_ranks", folder / "content.json", folder)
    return folder


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_with_accumulation_are_one_process_with_one_batch(runs, make, tmp_path, stage):
    changes = {"schedule": {"steps": 4, "warmup": 2}, "batch__micro": 8}
    train(make(**changes), tmp_path)
    assert losses(runs / f"stage{stage}") == pytest.approx(losses(tmp_path), rel=1e-5)
    assert gradients(runs / f"stage{stage}") == pytest.approx(gradients(tmp_path), rel=1e-4)
    assert losses(runs / f"stage{stage}", "eval") == pytest.approx(losses(tmp_path, "eval"), rel=1e-5)
    alone, together = (load_file(path / "model" / "trained.safetensors") for path in (tmp_path, runs / f"stage{stage}"))
    assert alone.keys() == together.keys()
    for name, weight in alone.items():
        assert (weight - together[name]).abs().max() < 2e-4, name


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_sixteen_bits_learn_too_and_the_model_opens(runs, stage):
    found = losses(runs / f"half{stage}")
    assert found[6] < found[1] - 0.2
    model = VisualChatModel.from_pretrained(runs / f"half{stage}" / "model")
    assert any("lora_" in name for name, _ in model.named_parameters()) == (stage == 3)


@pytest.mark.parametrize("stage", [0, 2])
def test_one_process_goes_on_from_two(runs, whole, make, tmp_path, stage):
    """Another world size and ZeRO stage: the same samples in the same order, the same losses but for roundings."""
    run = tmp_path / "run"
    shutil.copytree(runs / "all", run)
    shutil.rmtree(run / "checkpoints" / "step-00000008")
    train(make(deepspeed={"stage": stage}), run)
    assert losses(run) == pytest.approx(losses(whole[0]), rel=1e-5)
    assert list(losses(run)) == list(range(1, 9))


def test_ranks_that_cannot_share_a_batch_all_say_so(runs):
    told = {path.read_text() for path in (runs / "rest").iterdir()}
    assert len(list((runs / "rest").iterdir())) == 2
    assert len(told) == 1
    assert "9 rows cannot be divided among 2 ranks" in told.pop()
