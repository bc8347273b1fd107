"""The charts of a report: Vega and Vega-Lite, drawn to SVG here and now, so that the page needs no charting script.

Colours are variables of the page's style sheet, so that one drawing serves light and dark. Each chart has the table it
was drawn from beside it, for those who cannot see it, or want the numbers.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import polars as pl
from msgspec import Struct

from blender.inspect.flow import flow_spec
from blender.inspect.statistics import CHARACTERS_PER_TOKEN, BlendFigures

_FIRST, _SECOND, _LOST, _TEXT, _FAINT, _LINE = (
    f"var(--{name})" for name in ("chart-1", "chart-2", "chart-lost", "ink", "ink-soft", "line")
)
_WIDTH, _HEIGHT = 245, 130
_CLIP = re.compile(r"\bclip\d+\b(?=[\")])")
_FONT = "system-ui, sans-serif"
_CONFIG: dict[str, Any] = {
    "background": None,
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": _FAINT,
        "titleColor": _FAINT,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "gridColor": _LINE,
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "labelLimit": 110,
        "titlePadding": 8,
    },
    "legend": {"labelColor": _FAINT, "titleColor": _FAINT, "labelFontSize": 11, "orient": "top", "title": None},
    "bar": {"color": _FIRST, "cornerRadiusEnd": 2},
}
# one by one: Vega would write 0k beside 1k
_COUNT_AXIS = {"labelExpr": "format(datum.value, '~s')", "tickCount": 4}


class Chart(Struct, frozen=True):
    """A chart, and the table it was drawn from."""

    id: str
    title: str
    #: one sentence: what it shows
    note: str
    svg: str
    columns: list[str]
    rows: list[list[str]]


def draw_charts(figures: BlendFigures) -> list[Chart]:
    """Draw every chart that there are figures for."""
    return [msgspec.structs.replace(chart, svg=_with_own_ids(chart)) for chart in _charts(figures)]


def _with_own_ids(chart: Chart) -> str:
    """Number a drawing's clips anew: the library numbers them through all that a process draws."""
    names: dict[str, str] = {}
    return _CLIP.sub(lambda found: names.setdefault(found[0], f"{chart.id}-clip{len(names)}"), chart.svg)


def _charts(figures: BlendFigures) -> Iterator[Chart]:
    yield _datasets(figures.datasets)
    if figures.flow.height:
        yield _flow(figures.flow)
    yield _counts("images", "Images per sample", figures.images_per_sample, "images")
    yield _counts("turns", "Turns per sample", figures.turns_per_sample, "turns")
    yield _lengths(
        "characters", "Text length", "characters", figures.characters, "Characters of questions and answers."
    )
    exactly = "Text and image tokens, counted with the recipe's tokenizer."
    about = f"An estimate: a token for {CHARACTERS_PER_TOKEN} characters, and the recipe's image tokens."
    yield _lengths("tokens", "Token length", "tokens", figures.tokens, exactly if figures.tokens_exact else about)
    if figures.repeats is not None:
        yield _repeats(figures.repeats)
    if figures.sizes is not None and figures.sizes.height:
        yield _sizes(figures.sizes)


def _datasets(datasets: pl.DataFrame) -> Chart:
    names = datasets["dataset"].unique(maintain_order=True).to_list()
    splits = [split for split in ("train", "eval") if split in datasets["split"].to_list()]
    encoding = {
        "y": {"field": "dataset", "type": "nominal", "sort": names, "title": None},
        "x": {"field": "samples", "type": "quantitative", "title": "samples", "axis": _COUNT_AXIS},
        "color": {
            "field": "split",
            "type": "nominal",
            "scale": {"domain": splits, "range": [_FIRST, _SECOND][: len(splits)]},
        },
        "order": {"field": "split", "sort": "descending"},
    }
    rows = datasets.select("dataset", "split", "samples").to_dicts()
    spec = {
        "data": {"values": rows},
        "mark": "bar",
        "encoding": encoding,
        "width": 165,
        "height": {"step": 24},
        "padding": {"left": 16, "top": 4, "right": 8, "bottom": 4},
    }
    columns = ["dataset", "split", "samples", "images", "turns", "characters"]
    table = [_cells(row) for row in datasets.select(columns).iter_rows()]
    return Chart("datasets", "Samples per dataset", "Train and eval.", _draw(spec), columns, table)


def _flow(flow: pl.DataFrame) -> Chart:
    import vl_convert

    colours = {"band": _FIRST, "node": _FIRST, "lost": _LOST, "text": _TEXT}
    svg = vl_convert.vega_to_svg({**flow_spec(flow, colours), "config": {"background": None, "font": _FONT}})
    rows = [
        [source, f"dropped: {target}" if dropped else target, f"{records:,}"]
        for source, target, dropped, records in flow.select("source", "target", "dropped", "records").iter_rows()
    ]
    note = "Uses of each source's records by dataset; a record counts once for each sample."
    return Chart("flow", "From sources to datasets", note, svg, ["source", "goes to", "records"], rows)


def _counts(name: str, title: str, counted: pl.DataFrame, unit: str) -> Chart:
    encoding = {
        "x": {"field": "value", "type": "ordinal", "title": unit, "axis": {"labelAngle": 0, "labelOverlap": True}},
        "y": {"field": "samples", "type": "quantitative", "title": "samples", "axis": _COUNT_AXIS},
    }
    rows = [_cells(row) for row in counted.iter_rows()]
    return Chart(name, title, f"Samples by their number of {unit}.", _bars(counted, encoding), [unit, "samples"], rows)


def _lengths(name: str, title: str, unit: str, binned: pl.DataFrame, note: str) -> Chart:
    width = int(binned["high"][0] or 1) if binned.height else 1
    last = (pl.col("low") + width).alias("end")
    shown = binned.with_columns(pl.coalesce("high", last).alias("end"), open=pl.col("high").is_null())
    encoding = {
        "x": {"field": "low", "type": "quantitative", "title": unit, "axis": {**_COUNT_AXIS, "tickCount": 5}},
        "x2": {"field": "end"},
        "y": {"field": "samples", "type": "quantitative", "title": "samples", "axis": _COUNT_AXIS},
        "y2": {"datum": 0},
        "color": {"condition": {"test": "datum.open", "value": _SECOND}, "value": _FIRST},
    }
    if shown["open"].any():
        note += f" The last bar holds all from {int(shown['low'][-1]):,} on."
    rows = [
        [f"{low:,} to {high - 1:,}" if high else f"{low:,} and more", f"{samples:,}"]
        for low, high, samples in binned.iter_rows()
    ]
    return Chart(name, title, note, _bars(shown, encoding, "rect", xOffset=0.5, x2Offset=-0.5), [unit, "samples"], rows)


def _repeats(repeats: pl.DataFrame) -> Chart:
    said = pl.when(pl.col("times") >= 12).then(pl.lit("12+")).otherwise(pl.col("times").cast(pl.String))
    shown = repeats.with_columns(said=said)
    encoding = {
        "x": {"field": "said", "type": "ordinal", "sort": None, "title": "times shown", "axis": {"labelAngle": 0}},
        "y": {"field": "images", "type": "quantitative", "title": "images", "axis": _COUNT_AXIS},
    }
    rows = [_cells(row) for row in shown.select("said", "images").iter_rows()]
    note = "Distinct images by how often samples show them."
    return Chart("repeats", "How often an image is shown", note, _bars(shown, encoding), ["times", "images"], rows)


def _sizes(sizes: pl.DataFrame) -> Chart:
    def side(name: str) -> dict[str, Any]:
        return {
            "field": name,
            "type": "quantitative",
            "title": f"{name}, pixels",
            "scale": {"type": "log", "base": 2, "nice": True},
            "axis": {"format": "d", "tickCount": 5},
        }

    encoding = {
        "x": side("width"),
        "y": side("height"),
        "size": {"field": "images", "type": "quantitative", "legend": None, "scale": {"range": [12, 420]}},
    }
    mark = {"type": "circle", "color": _FIRST, "opacity": 0.55}
    spec = {
        "data": {"values": sizes.to_dicts()},
        "mark": mark,
        "encoding": encoding,
        "width": _WIDTH,
        "height": _HEIGHT,
    }
    rows = [_cells(row) for row in sizes.sort("images", descending=True).iter_rows()]
    note = "Distinct images; a larger circle stands for more of them."
    return Chart("sizes", "Image sizes", note, _draw(spec), ["width", "height", "images"], rows)


def _bars(frame: pl.DataFrame, encoding: dict[str, Any], kind: str = "bar", **mark: Any) -> str:
    spec = {"data": {"values": frame.to_dicts()}, "mark": {"type": kind, **mark}, "encoding": encoding}
    return _draw({**spec, "width": _WIDTH, "height": _HEIGHT})


def _draw(spec: dict[str, Any]) -> str:
    # a tenth of a second to import, a second for its first drawing
    import vl_convert

    schema = "https://vega.github.io/schema/vega-lite/v5.json"
    return vl_convert.vegalite_to_svg({"$schema": schema, "config": _CONFIG, **spec})


def _cells(row: tuple[Any, ...]) -> list[str]:
    return [f"{value:,}" if isinstance(value, int) else str(value) for value in row]
