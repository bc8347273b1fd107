import json

import pytest

from blender.inspect.browse import Browser
from blender.inspect.report import write_report
from blender.inspect.server import PageServer
from blender.recipe import load_recipe
from blender.shards.blend import write_blend
from blender.shards.reader import open_blend
from tests import corpora

#: what must show as text, whatever it looks like
NASTY = (
    '<script>document.title = "broken"</script> </script><!-- "quotes" \'single\' &amp; <img src=x onerror=alert(1)> '
    "שלום עולם 👩‍👩‍👧 {{setup}} \u2028 <image> ### Answer: <b>bold</b>"
)


@pytest.fixture(scope="session")
def nasty_corpus(tmp_path_factory):
    """A corpus, some of whose texts look like markup."""
    root = corpora.write_corpus(tmp_path_factory.mktemp("nasty"))
    records = [corpora.llava(number, NASTY if number % 2 else "") for number in range(20)]
    (root / "detail.json").write_text(json.dumps(records))
    return root


@pytest.fixture(scope="session")
def recipe_path(nasty_corpus):
    return corpora.write_recipe(nasty_corpus)


@pytest.fixture(scope="session")
def blend(recipe_path, tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspected") / "blend"
    write_blend(load_recipe(str(recipe_path), []), folder, workers=1)
    return open_blend(folder)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A folder for search indexes, shared, so that each blend's is gathered once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def report(blend, cache, tmp_path_factory):
    """A report of the whole blend."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(blend, path, cache=cache)
    return path


@pytest.fixture(scope="session")
def server(blend, cache):
    """A server whose search index is there."""
    browser = Browser(blend, cache=cache)
    browser.gather()
    with PageServer(browser) as server:
        server.start()
        yield server
        server.shutdown()


@pytest.fixture
def look(chromium):
    """Open addresses in new windows; no script may fail, and nothing may be said on the console."""
    complaints, contexts = [], []

    def open_address(address, width=1280, height=900, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("article, .facts", state="attached")
        return page

    yield open_address
    for context in contexts:
        context.close()
    assert complaints == []
