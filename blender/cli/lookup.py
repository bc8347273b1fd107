"""What ``visualchat inspect`` prints with ``--stats``, ``--ledger`` and ``--grep``."""

from typing import TYPE_CHECKING

from blender.core.counting import counted

if TYPE_CHECKING:
    import polars as pl

    from blender.inspect.statistics import BlendFigures
    from blender.shards.reader import Blend

_WIDTH = 32
#: rows of a distribution that are shown
_ROWS = 16


def show_stats(blend: "Blend", workers: int | None, as_json: bool) -> None:
    """Show how a blend's images, turns, lengths and sizes are distributed."""
    from blender.cli.output import Meter, print_json
    from blender.core.pool import num_cores
    from blender.inspect.search_index import open_search_index
    from blender.inspect.statistics import blend_figures, with_images

    meter = Meter(quiet=as_json)
    with meter.running():
        index = open_search_index(
            blend, workers or num_cores(), lambda done, total: meter.set("reading samples", done, total)
        )
        figures = with_images(blend_figures(blend), index)
    if as_json:
        print_json({name: _plain(value) for name, value in vars(figures).items()})
    else:
        _print_stats(blend, figures)


def _plain(value: object) -> object:
    return value.to_dicts() if hasattr(value, "to_dicts") else value


def _print_stats(blend: "Blend", figures: "BlendFigures") -> None:
    from blender.cli.inspect import counts_table
    from blender.cli.output import console, table

    screen = console()
    screen.print(counts_table(blend.manifest))
    tokens = "tokens of a sample" if figures.tokens_exact else "tokens of a sample (estimated)"
    distributions = [
        ("images of a sample", "images", "samples", _values(figures.images_per_sample)),
        ("turns of a sample", "turns", "samples", _values(figures.turns_per_sample)),
        ("characters of a sample", "characters", "samples", _bins(figures.characters)),
        (tokens, "tokens", "samples", _bins(figures.tokens)),
    ]
    if figures.repeats is not None:
        distributions.append(("how often an image is shown", "times", "images", _values(figures.repeats)))
    if figures.sizes is not None:
        distributions.append(("commonest sizes of images", "pixels, about", "images", _sizes(figures.sizes)))
    for title, column, items, rows in distributions:
        screen.print()
        screen.print(table(title, [column, items, ""], _with_bars(rows), num_texts=0))
    screen.print()
    flow = [
        [source, target, f"{records:,}"] for source, target, dropped, records in figures.flow.iter_rows() if not dropped
    ]
    screen.print(table("where records are used", ["source", "dataset", "uses"], flow, num_texts=2))


def _values(counted: "pl.DataFrame") -> list[tuple[str, int]]:
    pairs = [(f"{value:,}", int(count)) for value, count in counted.iter_rows()]
    beyond = pairs[_ROWS - 1 :]
    return pairs if len(pairs) <= _ROWS else [*pairs[: _ROWS - 1], (f"{beyond[0][0]}+", sum(n for _, n in beyond))]


def _bins(binned: "pl.DataFrame") -> list[tuple[str, int]]:
    # two bins in one row, so that a distribution fits onto a screen
    rows = list(binned.iter_rows())
    pairs = [rows[place : place + 2] for place in range(0, len(rows), 2)]
    return [
        (
            f"{pair[0][0]:,}+" if pair[-1][1] is None else f"{pair[0][0]:,} to {pair[-1][1] - 1:,}",
            sum(row[2] for row in pair),
        )
        for pair in pairs
    ]


def _sizes(sizes: "pl.DataFrame") -> list[tuple[str, int]]:
    common = sizes.sort("images", descending=True, maintain_order=True).head(_ROWS // 2)
    return [(f"{width:,} x {height:,}", int(count)) for width, height, count in common.iter_rows()]


def _with_bars(rows: list[tuple[str, int]]) -> list[list[str]]:
    largest = max((count for _, count in rows), default=1)
    return [
        [name, f"{count:,}", ("█" * max(count > 0, round(_WIDTH * count / max(1, largest)))).ljust(_WIDTH)]
        for name, count in rows
    ]


def show_ledger(blend: "Blend", reason: str | None, limit: int, as_json: bool) -> None:
    """Show how many records were used or dropped, by reason; with a reason, the records that were dropped for it."""
    from blender.cli.output import console, print_json, table
    from blender.inspect.lookup import ledger_records, ledger_sums

    results = ledger_sums(blend) if reason is None else ledger_records(blend, reason)
    if as_json:
        print_json(results.to_dicts())
        return
    screen = console()
    if reason is None:
        rows = [
            [source, why or "in samples", f"{count:,}", f"{uses:,}" if uses else ""]
            for source, why, count, uses in results.iter_rows()
        ]
        screen.print(table("records", ["source", "what became of them", "records", "uses"], rows, num_texts=2))
        return
    rows = [
        [f"{source}/{file}/{record}", dataset or "all", detail or ""]
        for source, file, record, dataset, detail in results.head(limit).iter_rows()
    ]
    screen.print(
        table(f"{reason}: {counted(results.height, 'record')}", ["record", "left out of", "why"], rows, num_texts=3)
    )
    if results.height > limit:
        screen.print(f"… and {results.height - limit:,} more (-n {results.height} or --json shows all)", markup=False)


def show_matches(
    blend: "Blend", query: str, dataset: str | None, limit: int, workers: int | None, as_json: bool
) -> None:
    """Show the samples that contain a text, each with its first occurrence."""
    from blender.cli.output import Meter, console, print_json
    from blender.core.pool import num_cores
    from blender.core.screen import VisibleText as Text
    from blender.inspect.lookup import find_texts, matches

    meter = Meter(quiet=as_json)
    with meter.running():
        rows = find_texts(
            blend,
            query,
            dataset=dataset,
            workers=workers or num_cores(),
            tell=lambda done, total: meter.set("reading texts, for this and later searches", done, total),
        )
    results = matches(blend, rows if as_json else rows[:limit], query)
    if as_json:
        print_json(results)
        return
    screen = console()
    for match in results:
        where = f"{match.where} of turn {match.turn}" if match.turn else match.where
        screen.print(Text.assemble((match.key, "bold"), f"  {match.dataset}, {where}: ", match.excerpt))
    more = f"; the first {limit:,} are shown (-n, --json)" if len(rows) > limit else ""
    screen.print(f"{len(rows):,} of {len(blend):,} samples{more}", style="dim", markup=False)
