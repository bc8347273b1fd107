"""Kill -9 of training runs; the same command goes on, and ends with the losses and weights of an undisturbed run."""

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
import yaml

from benchmarks.campaign.corpus import PROGRAM, ROOT, complaint, run, write_recipe
from benchmarks.campaign.outcome import Outcome, expect, repeat
from blender import load_recipe, open_blend, write_blend
from blender.train.metrics import read_metrics
from blender.train.tiny_models import make_tiny_parts
from tests.train import recipes

_STEPS = 60
_TIMEOUT = 300


class Training:
    """A tiny run, and a folder in which it is killed and gone on with."""

    def __init__(self, folder: Path) -> None:
        self.recipe, self.out = folder / "train.yaml", folder / "run"
        write_blend(load_recipe(write_recipe(folder / "corpus", num_images=24)), folder / "blend", workers=1)
        blend = open_blend(folder / "blend")
        texts = ["".join(span.text for span in blend[row].sample.spans) for row in range(len(blend))]
        language, vision = make_tiny_parts(folder / "parts", texts, width=32, vocabulary=400, image_size=32)
        changes = {"schedule__steps": _STEPS, "evaluation__every": 20, "checkpoints__every": 4}
        content = recipes.changed(recipes.content(folder / "blend", (language, vision)), name="campaign", **changes)
        self.recipe.write_text(yaml.safe_dump(content))
        begin = time.monotonic()
        finished = run("train", self.recipe, "--out", folder / "whole", seconds=_TIMEOUT)
        expect(finished.returncode == 0, f"the undisturbed run fails: {finished.stderr[-500:]}")
        self.seconds = time.monotonic() - begin
        self.whole = _result(folder / "whole")

    def attempt(self, random: np.random.Generator) -> str:
        """Start or go on with the run, and kill it at a random moment."""
        command = [*PROGRAM, "train", str(self.recipe), "--out", str(self.out)]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
        )
        try:
            _, stderr = process.communicate(timeout=random.uniform(0.3, 1.0) * self.seconds)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return f"killed {'in' if (self.out / 'checkpoints').exists() else 'before'} training"
        traceback = complaint(stderr)
        expect(not traceback, f"a run that goes on after kills gives a traceback: {traceback}")
        expect(process.returncode == 0, f"a run that goes on after kills fails: {stderr.strip()[-300:]}")
        self._compare()
        return "ended as the undisturbed run"

    def finish(self) -> None:
        """Let the run end and compare it."""
        finished = run("train", self.recipe, "--out", self.out, seconds=_TIMEOUT)
        expect(finished.returncode == 0, f"after the kills the run fails: {finished.stderr[-500:]}")
        self._compare()

    def _compare(self) -> None:
        losses, weights = _result(self.out)
        expect(losses == self.whole[0], "losses differ from those of the undisturbed run")
        expect(weights == self.whole[1], "weights differ from those of the undisturbed run")
        shutil.rmtree(self.out)


def _result(folder: Path) -> tuple[dict[tuple[str, int], float], str]:
    losses = {(line["kind"], line["step"]): line["loss"] for line in read_metrics(folder) if "loss" in line}
    weights = (folder / "model" / "trained.safetensors").read_bytes()
    return losses, hashlib.sha256(weights).hexdigest()


def kill_training(numbers: Iterable[int], seed: int) -> Outcome:
    """Kill training runs; the last one goes on to its end."""
    with tempfile.TemporaryDirectory(prefix="training-") as folder:
        training = Training(Path(folder))
        outcome = repeat("training", training.attempt, numbers, seed)
        outcome.add(repeat("training", lambda _: training.finish() or "ended as the undisturbed run", [-1], seed))
    return outcome
