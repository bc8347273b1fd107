"""Templates escape every value and show what it hides."""

import jinja2
import pytest
from markupsafe import Markup

from blender.web.templates import load_template

NASTY = "<script>1</script> & \"q\" 'r' {{ title }} {% raw %} \x1b[31m \u202e"


def render(**values):
    return load_template("tests.web", "templates", "values.html").render(**values)


def test_text_is_text_whatever_it_looks_like():
    shown = "&lt;script&gt;1&lt;/script&gt; &amp; &#34;q&#34; &#39;r&#39; {{ title }} {% raw %} \\x1b[31m \\u202e"
    assert render(text=NASTY, items=[NASTY, 3]) == f'<p title="{shown}">{shown}</p>\n<b>{shown}</b>\n<b>3</b>\n'


def test_what_a_macro_makes_is_escaped_once():
    assert render(text="&", items=[Markup("<i>&amp;</i>")]).endswith("<b><i>&amp;</i></b>\n")


def test_a_name_that_nobody_gives_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="items"):
        render(text="")
