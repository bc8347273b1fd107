from blender.train.events import EvaluationDone
from blender.train.metrics import METRICS, MetricsWriter, read_metrics
from blender.train.plots import plot_loss
from tests.train.recipes import make
from tests.train.test_deepspeed_config import CONTENT

RECIPE = make(CONTENT, logging={"tensorboard": False})


def write(folder, steps, begin=0):
    with MetricsWriter(folder, RECIPE, begin) as writer:
        for step in steps:
            writer.write(EvaluationDone(step, 1.0 / (step + 1), {"llava": 0.5, "cgd": 0.25}, 10, 0.1))


def test_a_run_that_goes_on_takes_off_what_came_after_its_checkpoint(tmp_path):
    write(tmp_path, range(6))
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"kind": "train", "st')
    write(tmp_path, [4], begin=3)
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1, 2, 3, 4]
    assert read_metrics(tmp_path)[2]["datasets"] == {"llava": 0.5, "cgd": 0.25}


def test_a_run_that_begins_anew_has_no_line_twice(tmp_path):
    write(tmp_path, range(3))
    write(tmp_path, range(2))
    assert [line["step"] for line in read_metrics(tmp_path)] == [0, 1]


def test_the_page_holds_the_figures_and_needs_no_network(tmp_path):
    write(tmp_path, range(3))
    picture, page = plot_loss(read_metrics(tmp_path), "mine", tmp_path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = page.read_text()
    assert '"eval: cgd"' in text
    assert "<script src=" not in text


def test_long_records_are_thinned_and_empty_ones_give_no_picture(tmp_path):
    from blender.train.plots import _points

    lines = [{"kind": "train", "step": step, "loss": 1.0} for step in range(10_000)]
    assert 2000 <= len(list(_points(lines))) <= 2500
    assert plot_loss([], "mine", tmp_path) == []
