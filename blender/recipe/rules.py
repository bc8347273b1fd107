"""What must hold between the keys of a recipe: names that exist, and keys that go together.

Looks at plain data, whose values may be of any type, because it has to tell its faults beside those of the types. What
has the wrong type is passed over here.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from blender.data.sources import SOURCES
from blender.data.sources.options import FORMATS_WITH_ROLES
from blender.data.template import TEMPLATES
from blender.recipe.lint import LINT_CHECKS
from blender.recipe.places import Place, Plain, Problem, quoted
from blender.recipe.places import mapping as _mapping
from blender.recipe.places import names_in as _names
from blender.recipe.places import unknown as _unknown
from blender.recipe.split_rules import split_rules


def broken_rules(data: Plain) -> Iterator[Problem]:
    """Find names that do not exist and keys that do not go together."""
    recipe = _mapping(data)
    yield from _unknown(("template",), recipe.get("template"), TEMPLATES, "template")
    for name, source in _mapping(recipe.get("sources")).items():
        place, keys = ("sources", name), _mapping(source)
        yield from _unknown((*place, "format"), keys.get("format"), SOURCES, "format")
        yield from _unknown((*place, "images"), keys.get("images"), _names(recipe, "images"), "image store")
        yield from _without_roles(place, keys)
    yield from _stores(recipe)
    yield from _entries(recipe)
    yield from split_rules(recipe)
    yield from _suppressions(recipe)
    limits = _mapping(recipe.get("limits"))
    if limits.get("tokens") is not None and limits.get("tokenizer") is None:
        yield Problem(("limits", "tokens"), "tokens can only be counted when tokenizer is given, too")


def _without_roles(place: Place, source: Mapping[str, Plain]) -> Iterator[Problem]:
    """Find options about roles on a source whose format has none."""
    format = source.get("format")
    if isinstance(format, str) and format in SOURCES and format not in FORMATS_WITH_ROLES:
        for key in ("system", "leading_answer"):
            if source.get(key) not in (None, "skip"):
                yield Problem((*place, key), f"{key} means nothing for format {format}, whose records have no roles")


def _stores(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    stores = _mapping(recipe.get("images"))
    for name, store in stores.items():
        place, other = ("images", name, "same_as"), _mapping(store).get("same_as")
        yield from _unknown(place, other, stores, "image store")
        if other == name:
            yield Problem(place, f"{quoted(name)} cannot be the same as itself")
        elif isinstance(other, str) and _mapping(stores.get(other)).get("same_as") is not None:
            yield Problem(place, f"{quoted(other)} is itself the same as another store; name that one")


def _entries(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    entries = recipe.get("blend")
    seen: Counter[str] = Counter()
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        place, keys = ("blend", number), _mapping(entry)
        if not isinstance(entry, dict):
            continue
        name = keys.get("name")
        if isinstance(name, str):
            seen[name] += 1
            if seen[name] > 1:
                yield Problem((*place, "name"), f"the name {quoted(name)} is taken by an earlier entry")
        yield from _kind(place, {key for key, value in keys.items() if value is not None})
        for reference, source in _references(place, keys):
            yield from _unknown(reference, source, _names(recipe, "sources"), "source")


def _suppressions(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    """Look for checks and datasets that lint does not know."""
    given = _mapping(recipe.get("lint")).get("suppress")
    entries = recipe.get("blend")
    names = [_mapping(entry).get("name") for entry in entries] if isinstance(entries, list) else None
    datasets = [name for name in names if isinstance(name, str)] if names is not None else None
    # one check alone is as good as a list of one, and its place has no number
    items: list[tuple[Place, Plain]] = [((), given)]
    if isinstance(given, list):
        items = [((number,), item) for number, item in enumerate(given)]
    for inside, item in items:
        place: Place = ("lint", "suppress", *inside)
        yield from _unknown(place, item, LINT_CHECKS, "check")
        yield from _unknown((*place, "check"), _mapping(item).get("check"), LINT_CHECKS, "check")
        yield from _unknown((*place, "dataset"), _mapping(item).get("dataset"), datasets, "dataset")


def _kind(place: Place, keys: Collection[str]) -> Iterator[Problem]:
    if "from" not in keys and "image_match" not in keys:
        advice = " (concatenate says what is done with them)" if "concatenate" in keys else ""
        yield Problem(place, f"an entry needs from or image_match to say where its records come from{advice}")
    for one, other in (("image_match", "from"), ("image_match", "concatenate"), ("samples", "repeat")):
        if one in keys and other in keys:
            yield Problem((*place, one), f"{one} and {other} cannot both be given")


def _references(place: Place, entry: Mapping[str, Plain]) -> Iterator[tuple[Place, Plain]]:
    """List the sources that an entry names."""
    match = _mapping(entry.get("image_match"))
    for way, value in (
        ((*place, "from"), entry.get("from")),
        ((*place, "image_match", "base"), match.get("base")),
        ((*place, "image_match", "with"), match.get("with")),
    ):
        if isinstance(value, list):
            yield from (((*way, number), item) for number, item in enumerate(value))
        else:
            yield way, value
