"""Which records went where, drawn: sources on the left, datasets and reasons on the right, bands between them.

Vega draws paths; where they run is worked out here, because no chart grammar has such bands.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

_WIDTH = 640
_NODE = 12
_GAP = 10
#: units of height that all bands together have
_BANDS = 210.0
#: room for names on either side
_LEFT, _RIGHT = 145, 200


@dataclass(frozen=True)
class _Node:
    name: str
    records: int
    top: float
    bottom: float
    dropped: bool


def flow_spec(flow: pl.DataFrame, colours: dict[str, str]) -> dict[str, Any]:
    """Write the Vega specification of a flow.

    Args:
        flow: source, target, dropped, records; not empty.
        colours: ``band``, ``lost``, ``node`` and ``text``.
    """
    flow = flow.filter(pl.col("records") > 0)
    scale = _BANDS / max(1, int(flow["records"].sum()))
    sources = _stack(flow.group_by("source", maintain_order=True).agg(pl.col("records").sum(), dropped=False), scale)
    targets = _stack(
        flow.group_by("target", "dropped", maintain_order=True)
        .agg(pl.col("records").sum())
        .sort("dropped", maintain_order=True)
        .select("target", "records", "dropped"),
        scale,
    )
    height = max(node.bottom for node in (*sources, *targets))
    nodes = [_node(node, _LEFT, "right", _LEFT - 8) for node in sources]
    nodes += [_node(node, _WIDTH - _RIGHT, "left", _WIDTH - _RIGHT + _NODE + 8) for node in targets]
    return {
        "$schema": "https://vega.github.io/schema/vega/v6.json",
        "width": _WIDTH,
        "height": height,
        "padding": 4,
        "data": [
            {"name": "bands", "values": _bands(flow, sources, targets, scale)},
            {"name": "nodes", "values": nodes},
        ],
        "marks": [_band_marks(colours), _node_marks(colours), _name_marks(colours)],
    }


def _stack(groups: pl.DataFrame, scale: float) -> list[_Node]:
    nodes, top = list[_Node](), 0.0
    for name, records, dropped in groups.iter_rows():
        bottom = top + max(1.0, records * scale)
        nodes.append(_Node(str(name), records, top, bottom, dropped))
        # a name takes some height even where its node has none
        top = max(bottom, top + 14) + _GAP
    return nodes


def _bands(flow: pl.DataFrame, sources: list[_Node], targets: list[_Node], scale: float) -> list[dict[str, Any]]:
    left = {node.name: node.top for node in sources}
    right = {(node.name, node.dropped): node.top for node in targets}
    order = {key: place for place, key in enumerate(right)}
    bands = []
    rows = sorted(flow.select("source", "target", "dropped", "records").iter_rows(), key=lambda row: order[row[1:3]])
    for source, target, dropped, records in rows:
        thickness = records * scale
        bands.append({"path": _band(left[source], right[target, dropped], thickness), "dropped": dropped})
        left[source] += thickness
        right[target, dropped] += thickness
    return bands


def _band(start: float, end: float, thickness: float) -> str:
    left, right = _LEFT + _NODE, _WIDTH - _RIGHT
    middle = (left + right) / 2
    thickness = max(0.75, thickness)
    return (
        f"M{left},{start:.2f}C{middle},{start:.2f} {middle},{end:.2f} {right},{end:.2f}"
        f"V{end + thickness:.2f}C{middle},{end + thickness:.2f} {middle},{start + thickness:.2f} "
        f"{left},{start + thickness:.2f}Z"
    )


def _node(node: _Node, x: float, align: str, text_x: float) -> dict[str, Any]:
    words = node.name.replace("_", " ") if node.dropped else node.name
    said = f"{words}, {node.records:,}"
    place = {"x": x, "top": node.top, "bottom": node.bottom, "middle": (node.top + node.bottom) / 2}
    return {**place, "text_x": text_x, "align": align, "text": said, "dropped": node.dropped}


def _band_marks(colours: dict[str, str]) -> dict[str, Any]:
    fill = {"signal": f"datum.dropped ? '{colours['lost']}' : '{colours['band']}'"}
    return {
        "type": "path",
        "from": {"data": "bands"},
        "encode": {"enter": {"path": {"field": "path"}, "fill": fill, "fillOpacity": {"value": 0.35}}},
    }


def _node_marks(colours: dict[str, str]) -> dict[str, Any]:
    fill = {"signal": f"datum.dropped ? '{colours['lost']}' : '{colours['node']}'"}
    enter = {
        "x": {"field": "x"},
        "width": {"value": _NODE},
        "y": {"field": "top"},
        "y2": {"field": "bottom"},
        "fill": fill,
        "cornerRadius": {"value": 2},
    }
    return {"type": "rect", "from": {"data": "nodes"}, "encode": {"enter": enter}}


def _name_marks(colours: dict[str, str]) -> dict[str, Any]:
    enter = {
        "x": {"field": "text_x"},
        "y": {"field": "middle"},
        "align": {"field": "align"},
        "baseline": {"value": "middle"},
        "text": {"field": "text"},
        "fill": {"value": colours["text"]},
        "fontSize": {"value": 12},
        "limit": {"value": _RIGHT - 16},
    }
    return {"type": "text", "from": {"data": "nodes"}, "encode": {"enter": enter}}
