"""Plots of the loss: a PNG, and an HTML page that works without a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PICTURE, PAGE = "loss.png", "loss.html"
_WIDTH, _HEIGHT = 720, 360
#: points of a curve; more cannot be distinguished
_MAX_POINTS = 2000


def plot_loss(lines: Sequence[dict[str, Any]], title: str, folder: Path) -> list[Path]:
    """Draw training and eval loss over the steps.

    Args:
        lines: The lines of ``metrics.jsonl``.
        title: Title of the plot.
        folder: The folder that the files are written into.

    Returns:
        The files; none if there is nothing to draw.
    """
    points = list(_points(lines))
    if not points:
        return []
    chart = _chart(points, title)
    chart.save(str(folder / PICTURE), scale_factor=2)
    chart.save(str(folder / PAGE), inline=True)
    return [folder / PICTURE, folder / PAGE]


def _points(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    trained = [line for line in lines if line["kind"] == "train"]
    thin = trained[:: max(1, len(trained) // _MAX_POINTS)]
    points = [{"step": line["step"], "loss": line["loss"], "what": "train"} for line in thin]
    for line in lines:
        if line["kind"] != "eval":
            continue
        points.append({"step": line["step"], "loss": line["loss"], "what": "eval"})
        if len(line["datasets"]) > 1:
            points += [
                {"step": line["step"], "loss": loss, "what": f"eval: {name}"} for name, loss in line["datasets"].items()
            ]
    return points


def _chart(points: list[dict[str, Any]], title: str) -> Any:
    import altair as alt

    names = list(dict.fromkeys(point["what"] for point in sorted(points, key=lambda point: _rank(point["what"]))))
    highlighted = alt.selection_point(fields=["what"], bind="legend")
    lines = (
        alt.Chart({"values": points})
        .mark_line(point=alt.OverlayMarkDef(size=18))
        .encode(
            x=alt.X("step:Q", title="step"),
            y=alt.Y("loss:Q", title="loss per trained token", scale=alt.Scale(zero=False)),
            color=alt.Color("what:N", title=None, sort=names),
            strokeWidth=alt.condition("datum.what == 'train' || datum.what == 'eval'", alt.value(2), alt.value(1)),
            opacity=alt.condition(highlighted, alt.value(1), alt.value(0.15)),
            tooltip=["what:N", "step:Q", alt.Tooltip("loss:Q", format=".4f")],
        )
        .add_params(highlighted)
    )
    return lines.properties(title=title, width=_WIDTH, height=_HEIGHT)


def _rank(name: str) -> tuple[int, str]:
    return ("train", "eval").index(name) if name in ("train", "eval") else 2, name
