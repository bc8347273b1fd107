"""One recipe trained in several ways, compared."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from blender.core.errors import EvaluationError
from blender.evaluate.ablation import make_arms

ROOT = Path(__file__).parents[2]


def test_every_combination_is_an_arm():
    arms = make_arms({"model.attention": ["causal", "mmca"], "data.blends": ["/a/one", "/b/two/"]})
    assert [arm.name for arm in arms] == ["causal-one", "causal-two", "mmca-one", "mmca-two"]
    assert arms[1].overrides == ("model.attention=causal", "data.blends=/b/two/")


def test_arms_of_the_same_name_are_told_apart():
    assert [arm.name for arm in make_arms({"data.blends": ["/a/blend", "/b/blend"]})] == ["1-blend", "2-blend"]


@pytest.mark.parametrize("choices", [{}, {"model.attention": ["mmca"]}])
def test_one_arm_is_nothing_to_compare(choices):
    with pytest.raises(EvaluationError, match="nothing to compare"):
        make_arms(choices)


def test_the_same_value_twice_is_refused():
    with pytest.raises(EvaluationError, match="the same value twice"):
        make_arms({"model.attention": ["mmca", "mmca"]})


def ablate(demo, out, *options):
    command = [sys.executable, "-m", "blender", "ablate", "train-tiny-cpu", "--out", out, "--json", "--limit", "2"]
    settings = [
        f"blend={demo}/blend",
        f"parts={demo}/parts",
        "schedule.steps=4",
        "checkpoints.every=2",
        "batch.global=4",
    ]
    settings += [
        "batch.micro=4",
        "evaluation.every=2",
        "evaluation.samples=4",
        "logging.every=1",
        "logging.tensorboard=false",
    ]
    sets = [word for setting in settings for word in ("--set", setting)]
    return subprocess.run(
        [*command, "--max-new-tokens", "4", *sets, *options],
        capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300,
    )  # fmt: skip


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A drawn corpus, blended, and tiny parts for it."""
    from blender import load_recipe, write_blend
    from blender.demo import draw_corpus
    from blender.shards.reader import open_blend
    from blender.train.tiny_models import make_tiny_parts

    folder = tmp_path_factory.mktemp("ablated")
    draw_corpus(folder / "corpus", num_images=24, workers=1)
    write_blend(load_recipe("demo", [f"data={folder}/corpus"]), folder / "blend", workers=1)
    texts = ["".join(span.text for span in stored.sample.spans) for stored in open_blend(folder / "blend")]
    make_tiny_parts(folder / "parts", texts, width=32)
    return folder


def test_arms_are_trained_asked_and_put_into_one_table_and_a_failed_one_loses_nothing(demo, tmp_path):
    out = tmp_path / "out"
    # a language model of two layers has no third one
    done = ablate(demo, out, "--attention", "causal,cross", "--set", "model.cross_every=3")
    assert done.returncode == 1, done.stderr
    found = json.loads((out / "ablation.json").read_text())
    faults = {arm["name"]: arm["fault"] for arm in found["arms"]}
    assert [name for name, fault in faults.items() if fault] == ["cross"]
    complete = [arm for arm in found["arms"] if not arm["fault"]]
    assert all(arm["samples"] == 16 and arm["eval_loss"] > 0 and arm["figures"]["questions"] > 0 for arm in complete)
    steps = {(point["arm"], point["step"], point["samples"]) for point in found["loss"]}
    assert {("causal", 0, 0), ("causal", 2, 8), ("causal", 4, 16)} <= steps
    assert (out / "ablation.png").stat().st_size > 1000
    assert "<script" in (out / "ablation.html").read_text()
    answers = (out / "answers" / "results.jsonl").read_bytes()

    again = ablate(demo, out, "--attention", "causal,cross", "--set", "model.cross_every=3")
    assert again.returncode == 1
    assert "nothing was trained" in again.stdout + again.stderr
    assert (out / "answers" / "results.jsonl").read_bytes() == answers


def test_a_choice_that_is_none_is_wrong_usage(demo, tmp_path):
    done = ablate(demo, tmp_path, "--vary", "model.attention")
    assert done.returncode == 2
    assert "KEY=A,B" in done.stderr
