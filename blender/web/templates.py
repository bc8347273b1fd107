"""Jinja2 templates that are shipped inside packages, filled in with texts from strangers.

Every value is escaped, and what it hides (escape sequences, direction marks) is written out. Only a value that is
wrapped in :class:`markupsafe.Markup` goes in as it is: style sheets, scripts and blocks of JSON, which have an escaping
of their own. A name that a template uses and nobody gives is an error.
"""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from blender.core.visible import visible


def load_template(package: str, folder: str, name: str) -> Template:
    """Load a template.

    Args:
        package: The package that holds it.
        folder: Its folder in the package.
        name: The name of its file.
    """
    return _environment(package, folder).get_template(name)


@cache
def _environment(package: str, folder: str) -> Environment:
    return Environment(
        loader=PackageLoader(package, folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _shown(value: object) -> object:
    return value if value is None or isinstance(value, Markup) else visible(str(value))
