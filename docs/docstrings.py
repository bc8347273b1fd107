"""What ``mkdocs.yml`` adds to griffe, which reads our docstrings: fields are explained by ``#:`` comments or pydantic.

Griffe knows docstrings alone. Sphinx' roles, which editors understand, are taken off.
"""

import ast
import re
from typing import Any

from griffe import Attribute, Docstring, ExprCall, ExprKeyword, Extension, Object

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):(`+)~?")


class FieldComments(Extension):
    """Gives attributes the ``#:`` comments above them, or the description of a pydantic field."""

    def on_attribute_instance(self, *, attr: Attribute, **_: Any) -> None:
        """Take the explanation as docstring, where there is none."""
        text = _description(attr) or _comment(attr)
        if attr.docstring is None and text:
            attr.docstring = Docstring(text, parent=attr)

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Take Sphinx' roles off."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(r"\1", obj.docstring.value)


def _description(attr: Attribute) -> str:
    if not isinstance(attr.value, ExprCall):
        return ""
    for argument in attr.value.arguments:
        if isinstance(argument, ExprKeyword) and argument.name == "description":
            return str(ast.literal_eval(str(argument.value)))
    return ""


def _comment(attr: Attribute) -> str:
    if attr.lineno is None:
        return ""
    lines = attr.lines_collection[attr.filepath]
    found: list[str] = []
    for line in reversed(lines[: attr.lineno - 1]):
        text = line.strip()
        if not text.startswith("#:"):
            break
        found.insert(0, text[2:].strip())
    return " ".join(found)
