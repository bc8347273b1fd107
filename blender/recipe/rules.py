"""Rules between the keys of a recipe: names must exist, and keys must go together.

The rules are checked on plain data, whose values may be of any type, so that their faults are reported together with
those of the types. Values of the wrong type are ignored here.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping

from blender.data.sources import SOURCES
from blender.data.sources.options import FORMATS_WITH_ROLES
from blender.data.template import TEMPLATES
from blender.recipe.document import KeyPath, Plain, Problem, quoted
from blender.recipe.document import mapping as _mapping
from blender.recipe.document import names_in as _names
from blender.recipe.document import unknown as _unknown
from blender.recipe.lint import LINT_CHECKS
from blender.recipe.split_rules import split_rules


def broken_rules(data: Plain) -> Iterator[Problem]:
    """Find names that do not exist and keys that do not go together."""
    recipe = _mapping(data)
    yield from _unknown(("template",), recipe.get("template"), TEMPLATES, "template")
    for name, source in _mapping(recipe.get("sources")).items():
        key_path, keys = ("sources", name), _mapping(source)
        yield from _unknown((*key_path, "format"), keys.get("format"), SOURCES, "format")
        yield from _unknown((*key_path, "images"), keys.get("images"), _names(recipe, "images"), "image store")
        yield from _without_roles(key_path, keys)
    yield from _stores(recipe)
    yield from _entries(recipe)
    yield from split_rules(recipe)
    yield from _suppressions(recipe)
    limits = _mapping(recipe.get("limits"))
    if limits.get("tokens") is not None and limits.get("tokenizer") is None:
        yield Problem(("limits", "tokens"), "tokens can only be counted when tokenizer is given, too")


def _without_roles(key_path: KeyPath, source: Mapping[str, Plain]) -> Iterator[Problem]:
    """Find options about roles on a source whose format has none."""
    format = source.get("format")
    if isinstance(format, str) and format in SOURCES and format not in FORMATS_WITH_ROLES:
        for key in ("system", "leading_answer"):
            if source.get(key) not in (None, "skip"):
                yield Problem((*key_path, key), f"{key} means nothing for format {format}, whose records have no roles")


def _stores(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    stores = _mapping(recipe.get("images"))
    for name, store in stores.items():
        key_path, other = ("images", name, "same_as"), _mapping(store).get("same_as")
        yield from _unknown(key_path, other, stores, "image store")
        if other == name:
            yield Problem(key_path, f"{quoted(name)} cannot be the same as itself")
        elif isinstance(other, str) and _mapping(stores.get(other)).get("same_as") is not None:
            yield Problem(key_path, f"{quoted(other)} is itself the same as another store; name that one")


def _entries(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    entries = recipe.get("blend")
    seen: Counter[str] = Counter()
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        key_path, keys = ("blend", number), _mapping(entry)
        if not isinstance(entry, dict):
            continue
        name = keys.get("name")
        if isinstance(name, str):
            seen[name] += 1
            if seen[name] > 1:
                yield Problem((*key_path, "name"), f"the name {quoted(name)} is taken by an earlier entry")
        yield from _kind(key_path, {key for key, value in keys.items() if value is not None})
        for reference, source in _references(key_path, keys):
            yield from _unknown(reference, source, _names(recipe, "sources"), "source")


def _suppressions(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    """Find checks and datasets that do not exist."""
    given = _mapping(recipe.get("lint")).get("suppress")
    entries = recipe.get("blend")
    names = [_mapping(entry).get("name") for entry in entries] if isinstance(entries, list) else None
    datasets = [name for name in names if isinstance(name, str)] if names is not None else None
    # a check alone is allowed in place of a list of one; its key path has no number
    items: list[tuple[KeyPath, Plain]] = [((), given)]
    if isinstance(given, list):
        items = [((number,), item) for number, item in enumerate(given)]
    for inside, item in items:
        key_path: KeyPath = ("lint", "suppress", *inside)
        yield from _unknown(key_path, item, LINT_CHECKS, "check")
        yield from _unknown((*key_path, "check"), _mapping(item).get("check"), LINT_CHECKS, "check")
        yield from _unknown((*key_path, "dataset"), _mapping(item).get("dataset"), datasets, "dataset")


def _kind(key_path: KeyPath, keys: Collection[str]) -> Iterator[Problem]:
    if "from" not in keys and "image_match" not in keys:
        advice = " (concatenate says what is done with them)" if "concatenate" in keys else ""
        yield Problem(key_path, f"an entry needs from or image_match to say where its records come from{advice}")
    for one, other in (("image_match", "from"), ("image_match", "concatenate"), ("samples", "repeat")):
        if one in keys and other in keys:
            yield Problem((*key_path, one), f"{one} and {other} cannot both be given")


def _references(key_path: KeyPath, entry: Mapping[str, Plain]) -> Iterator[tuple[KeyPath, Plain]]:
    """List the sources that an entry names."""
    match = _mapping(entry.get("image_match"))
    for way, value in (
        ((*key_path, "from"), entry.get("from")),
        ((*key_path, "image_match", "base"), match.get("base")),
        ((*key_path, "image_match", "with"), match.get("with")),
    ):
        if isinstance(value, list):
            yield from (((*way, number), item) for number, item in enumerate(value))
        else:
            yield way, value
