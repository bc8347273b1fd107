"""The page over a whole blend, in a real browser."""

import threading

from blender.core.visible import visible
from blender.inspect.browse import Browser, Query
from blender.inspect.server import PageServer


def test_samples_are_fetched_with_their_pictures_and_marks(look, server, blend):
    page = look(server.url)
    page.wait_for_selector("article")
    for article in page.query_selector_all("article")[:10]:
        sample = blend[article.get_attribute("data-key")].sample
        marks = article.query_selector_all("mark.trained")
        assert [mark.text_content() for mark in marks] == [visible(span.text) for span in sample.spans if span.train]
        for picture in article.query_selector_all("img"):
            assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)")


def test_searching_and_links_ask_the_server(look, server, blend):
    page = look(f"{server.url}#samples?q=better")
    page.wait_for_selector("article")
    total = server.browser.page(Query(text="better")).total
    assert page.inner_text("#found") == f"{total} samples"
    key = blend[len(blend) - 1].sample.key
    page.evaluate(f"location.hash = 'sample={key}'")
    page.wait_for_function(f"() => document.activeElement.dataset.key === '{key}'")
    assert page.input_value("#query") == ""


def test_the_overview_has_all_charts(look, server):
    page = look(f"{server.url}#overview")
    page.wait_for_selector(".facts", state="visible")
    assert page.locator(".chart svg").count() == 8


def test_a_search_waits_until_the_texts_are_gathered(chromium, blend, tmp_path):
    with PageServer(Browser(blend, cache=tmp_path)) as early:
        threading.Thread(target=early.serve_forever, daemon=True).start()
        context = chromium.new_context()
        page = context.new_page()
        page.goto(f"{early.url}#samples?q=better")
        page.wait_for_function("() => document.querySelector('#found').innerText.startsWith('Texts are being read')")
        early.browser.gather()
        page.wait_for_selector("article")
        context.close()
        early.shutdown()
