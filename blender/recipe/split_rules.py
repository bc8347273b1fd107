"""Rules of the ``split`` section of a recipe, and between it and the sources."""

from collections.abc import Iterator, Mapping

from blender.recipe.document import KeyPath, Plain, Problem, mapping, names_in, quoted, unknown
from blender.recipe.split import amount_of

#: keys that say which images are held out
_OF_IMAGES = ("exclude", "list", "perceptual")


def split_rules(recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    """Find sources that do not exist, amounts that are none, and keys that do not go together."""
    split = mapping(recipe.get("split"))
    given = [key for key in split if split[key] is not None]
    for name, amount in mapping(split.get("eval")).items():
        yield from _amount(("split", "eval", name), amount)
        yield from _source(("split", "eval", name), name, recipe)
    for key_path, source in _excluded(split):
        yield from _source(key_path, source, recipe)
        if source in mapping(split.get("eval")):
            yield Problem(key_path, f"{quoted(str(source))} has an amount under eval; it cannot be excluded as well")
    if "list" in given:
        for other in ("eval", "exclude"):
            if other in given:
                yield Problem(("split", "list"), f"list and {other} cannot both be given: a list says all of it")
    if split.get("by") == "sample":
        yield from _by_sample(split, given)


def _by_sample(split: Mapping[str, Plain], given: list[str]) -> Iterator[Problem]:
    for key in _OF_IMAGES:
        if key in given:
            yield Problem(("split", key), f"{key} needs by: image")
    if isinstance(split.get("eval"), dict):
        yield Problem(("split", "eval"), "an amount for each source needs by: image")


def _amount(key_path: KeyPath, amount: Plain) -> Iterator[Problem]:
    try:
        amount_of(amount)
    except ValueError as error:
        yield Problem(key_path, str(error))


def _excluded(split: Mapping[str, Plain]) -> Iterator[tuple[KeyPath, Plain]]:
    value = split.get("exclude")
    if isinstance(value, list):
        yield from ((("split", "exclude", number), item) for number, item in enumerate(value))
    elif value is not None:
        yield ("split", "exclude"), value


def _source(key_path: KeyPath, source: Plain, recipe: Mapping[str, Plain]) -> Iterator[Problem]:
    entries = recipe.get("blend")
    for entry in entries if isinstance(entries, list) else ():
        sources = names_in(recipe, "sources")
        if mapping(entry).get("name") == source and sources is not None and source not in sources:
            yield Problem(key_path, f"{quoted(str(source))} is an entry of the blend; name the sources it is made of")
            return
    yield from unknown(key_path, source, names_in(recipe, "sources"), "source")
