"""Signals and kills, as a cluster or a power cut gives them, to the program as a user starts it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import yaml

from blender.train.checkpoint import list_checkpoints
from blender.train.metrics import read_metrics
from blender.train.run import train
from tests.train.recipes import changed, losses, make

pytestmark = pytest.mark.slow

#: enough steps to be stopped between them
STEPS = 40


def start(recipe, out, *arguments):
    command = [sys.executable, "cli.py", "train", recipe, "--out", out, *arguments]
    environment = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"], "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def reach(process, folder, step):
    """Wait until a run has written down a step."""
    deadline = time.monotonic() + 120
    while max(losses(folder), default=0) < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_terminated_and_killed_a_run_ends_as_if_nothing_had_happened(content, tmp_path):
    data = changed(
        content, schedule={"steps": STEPS, "warmup": 2}, checkpoints={"every": 3, "keep": 2}, evaluation={"every": 10}
    )
    train(make(data), tmp_path / "whole")
    recipe, out = tmp_path / "mine.yaml", tmp_path / "run"
    recipe.write_text(yaml.safe_dump(data))

    process = start(recipe, out, "--json")
    reach(process, out, 4)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, stderr
    stopped = json.loads(stdout)
    assert (stopped["signal"], stopped["steps"]) == (signal.SIGTERM, STEPS)
    assert list_checkpoints(out / "checkpoints")[-1].name == f"step-{stopped['step']:08d}"

    process = start(recipe, out)
    reach(process, out, stopped["step"] + 5)
    process.kill()
    process.communicate(timeout=60)
    assert max(losses(out)) < STEPS
    # what a kill inside of writing would leave
    (out / "checkpoints" / "step-00000099.partial").mkdir()
    with (out / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "tra')

    process = start(recipe, out)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert "goes on after step" in stderr
    assert losses(out) == losses(tmp_path / "whole")
    assert losses(out, "eval") == losses(tmp_path / "whole", "eval")
    steps = [line["step"] for line in read_metrics(out) if line["kind"] == "train"]
    assert steps == list(range(1, STEPS + 1))
    assert not list((out / "checkpoints").glob("*.partial"))
    weights = [(folder / "model" / "trained.safetensors").read_bytes() for folder in (out, tmp_path / "whole")]
    assert weights[0] == weights[1]
