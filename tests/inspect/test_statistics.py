"""Figures of blends and of plans, and the charts of them."""

import xml.etree.ElementTree as ElementTree
from collections import Counter

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.blend.plan import make_plan
from blender.inspect import statistics
from blender.inspect.charts import draw_charts
from blender.inspect.search_index import open_search_index
from blender.inspect.statistics import blend_figures, plan_figures, with_images
from blender.recipe import load_recipe


@pytest.fixture(scope="module")
def figures(blend, cache):
    return with_images(blend_figures(blend), open_search_index(blend, cache=cache))


@pytest.fixture(scope="module")
def charts(figures):
    return draw_charts(figures)


def test_datasets_are_as_the_manifest_counts_them(blend, figures):
    counted = {
        (row.dataset, row.split): (row.samples, row.images, row.turns, row.characters) for row in blend.manifest.counts
    }
    found = figures.datasets.select("dataset", "split", "samples", "images", "turns", "characters").rows()
    assert {row[:2]: row[2:] for row in found} == counted


def test_histograms_hold_every_sample_once(blend, figures):
    for table in (figures.images_per_sample, figures.turns_per_sample, figures.characters, figures.tokens):
        assert table["samples"].sum() == len(blend)
    assert dict(figures.images_per_sample.rows()) == Counter(len(stored.images) for stored in blend)


def test_repeats_and_sizes_count_distinct_images(blend, figures):
    shown = Counter(image.name for stored in blend for image in stored.sample.images)
    assert dict(figures.repeats.rows()) == Counter(min(times, 12) for times in shown.values())
    assert figures.sizes["images"].sum() == len(shown)


def test_the_flow_accounts_for_every_record(blend, figures):
    dropped = figures.flow.filter("dropped")["records"].sum()
    used = figures.flow.filter(~pl.col("dropped"))["records"].sum()
    assert dropped == sum(blend.manifest.ledger["dropped"].values())
    assert used == blend.manifest.ledger["uses"]


def test_a_plan_has_the_figures_of_the_blend_it_becomes(recipe_path, figures, tmp_path):
    planned = plan_figures(make_plan(load_recipe(str(recipe_path), []), tmp_path))
    assert planned.datasets.drop("characters").equals(figures.datasets.drop("characters"))
    assert planned.images_per_sample.equals(figures.images_per_sample)
    assert planned.repeats.equals(figures.repeats)
    assert planned.sizes.equals(figures.sizes)
    assert planned.flow.sort("source", "target").equals(figures.flow.sort("source", "target"))


@settings(max_examples=50)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_bins_cover_every_value_once_and_in_order(values):
    bins = statistics._binned(pl.Series(values))
    for low, high, samples in bins.iter_rows():
        assert samples == sum(low <= value and (high is None or value < high) for value in values)
    assert bins["samples"].sum() == len(values)
    assert bins["low"].to_list() == sorted(bins["low"].to_list())


def test_charts_are_well_formed_and_take_their_colours_from_the_page(charts):
    assert [chart.id for chart in charts] == [
        "datasets",
        "flow",
        "images",
        "turns",
        "characters",
        "tokens",
        "repeats",
        "sizes",
    ]
    for chart in charts:
        ElementTree.fromstring(chart.svg)
        assert "var(--chart-1)" in chart.svg
        assert chart.rows
        assert all(len(row) == len(chart.columns) for row in chart.rows)


def test_names_never_become_markup_in_a_chart(figures):
    nasty = "</text><script>alert('x')</script>\"&"
    renamed = {name: pl.lit(nasty).alias(name) for name in ("dataset", "source")}
    changed = statistics.replace(
        figures,
        datasets=figures.datasets.with_columns(renamed["dataset"]),
        flow=figures.flow.with_columns(renamed["source"]),
    )
    for chart in draw_charts(changed):
        found = ElementTree.fromstring(chart.svg)
        assert not [element for element in found.iter() if "script" in element.tag]
