"""HTML from Python, in which a text can only ever be text: every string is escaped unless :func:`tag` made it."""

import html

from blender.core.visible import visible


class Markup(str):
    """HTML that is safe to put into more HTML."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Make an element.

    Args:
        name: Of the element.
        *children: Elements, or anything else as text; None for nothing.
        **attributes: Of the element; ``_`` at the end of a name is dropped, others become ``-``. None leaves one out,
            True writes its name alone.
    """
    written = "".join(
        f" {_name(key)}" if value is True else f' {_name(key)}="{html.escape(visible(str(value)))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    opened = f"<{name}{written}>"
    return Markup(opened if name in _EMPTY else f"{opened}{join(*children)}</{name}>")


def join(*children: object) -> Markup:
    """Put elements and texts one after the other."""
    parts = (
        child if isinstance(child, Markup) else html.escape(visible(str(child)))
        for child in children
        if child is not None
    )
    return Markup("".join(parts))


_EMPTY = frozenset(("img", "input", "meta", "br"))


def _name(key: str) -> str:
    return key.removesuffix("_").replace("_", "-")
