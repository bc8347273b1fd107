"""The page of a report, in a real browser, as it opens by a double click."""

from pathlib import Path

import pytest

from blender.core.visible import visible
from tests.inspect.conftest import NASTY


def shown(page):
    return page.eval_on_selector_all("article", "all => all.map((one) => one.dataset.key)")


def of_articles(page, view, expression):
    """Show every sample in a view, and evaluate an expression over each article, ``one``; return it by key."""
    return page.evaluate(
        f"""() => Object.fromEntries([...document.querySelectorAll("article")].map((one) => {{
            one.querySelector("[data-view={view}]").click();
            return [one.dataset.key, {expression}];
        }}))"""
    )


def focused(page):
    return page.evaluate("document.activeElement.dataset?.key")


@pytest.fixture
def samples(look, report):
    """The samples of the report, opened."""
    return look(f"{report.as_uri()}#samples")


def test_it_opens_with_the_overview_and_all_charts(look, report, blend):
    page = look(report.as_uri())
    assert page.title() == "small: visualchat"
    assert page.inner_text("h1") == "small"
    facts = dict(
        zip(page.locator(".facts dt").all_inner_texts(), page.locator(".facts dd").all_inner_texts(), strict=True)
    )
    assert facts["samples"] == f"{len(blend):,}"
    assert page.locator(".chart svg[role=img][aria-label]").count() == 8
    page.click("#chart-datasets summary")
    rows = page.locator("#chart-datasets tbody tr").count()
    assert rows == len(blend.manifest.counts)
    assert not page.is_visible("#feed")


def test_marked_spans_are_exactly_the_answers(samples, blend):
    for view in ("chat", "rendered"):
        marked = of_articles(samples, view, "[...one.querySelectorAll('mark.trained')].map((mark) => mark.textContent)")
        assert len(marked) == 50
        for key, marks in marked.items():
            assert marks == [visible(span.text) for span in blend[key].sample.spans if span.train]


def test_the_rendered_text_is_what_is_written(samples, blend):
    texts = of_articles(samples, "rendered", "one.querySelector('.rendered').textContent")
    pictures = of_articles(samples, "rendered", "one.querySelectorAll('.rendered img').length")
    for key, text in texts.items():
        sample = blend[key].sample
        parts = [span.text if span.train else span.text.replace("<image>", "") for span in sample.spans]
        assert text == visible("".join(parts))
        assert pictures[key] == len(sample.images)


def test_every_picture_is_in_its_place_and_says_what_it_is(samples, blend):
    names = "[...turn.querySelectorAll('img')].map((image) => image.alt)"
    seen = of_articles(samples, "chat", f"[...one.querySelectorAll('.turn')].map((turn) => {names})")
    origins = of_articles(samples, "chat", "[...one.querySelectorAll('.origin')].map((line) => line.textContent)")
    for key, turns in seen.items():
        sample = blend[key].sample
        expected = [[f"Image {n}: {sample.images[n - 1].name}" for n in turn.images] for turn in sample.turns]
        assert turns == expected
        assert origins[key] == [f"from {sample.sources[turn.source]}" for turn in sample.turns]
    assert samples.evaluate(
        "() => Promise.all([...document.querySelectorAll('article img')].map((one) => one.decode()))"
    )


def test_nasty_text_shows_as_text(samples):
    samples.fill("#query", '"document.title = "')
    samples.wait_for_function("() => document.querySelector('#found').textContent.includes('samples')")
    samples.wait_for_function("() => document.querySelectorAll('article').length < 20")
    bubbles = [text for text in samples.locator(".bubble").all_text_contents() if "broken" in text]
    expected = visible(NASTY.replace("<image>", "< image>").replace("### Answer:", "# ## Answer:"))
    assert bubbles
    assert all(expected in text for text in bubbles)
    assert samples.title() == "small: visualchat"
    assert samples.locator("article script, article b, article img[src=x]").count() == 0


def test_filters_and_search_narrow_what_is_shown(samples, blend):
    everything = [stored.sample for stored in blend]

    def expect(fitting):
        told = f"{len(fitting)} samples" if fitting else "No sample fits."
        samples.wait_for_function("(told) => document.querySelector('#found').innerText.startsWith(told)", arg=told)
        assert shown(samples) == [sample.key for sample in fitting][:50]

    samples.select_option("#dataset", "cgd")
    expect([sample for sample in everything if sample.dataset == "cgd"])
    samples.select_option("#split", "train")
    expect([sample for sample in everything if sample.dataset == "cgd" and sample.key.startswith("train")])
    samples.click("#clear")
    expect(everything)
    samples.select_option("#images", "3")
    expect([sample for sample in everything if len(sample.images) == 3])
    samples.click("#clear")
    samples.fill("#query", 'better "image 1"')
    expect([s for s in everything if all(words in str(s.turns).lower() for words in ("better", "image 1"))])
    samples.fill("#query", "nothing holds these words")
    expect([])


def test_the_keyboard_leads_through_samples_and_pages(samples, blend):
    keys = [stored.sample.key for stored in blend]
    samples.keyboard.press("j")
    assert focused(samples) == keys[0]
    for _ in range(3):
        samples.keyboard.press("j")
    samples.keyboard.press("k")
    assert focused(samples) == keys[2]
    samples.keyboard.press("v")
    assert samples.locator("article.current .rendered").count() == 1
    samples.keyboard.press("n")
    samples.wait_for_function(f"() => document.querySelector('article').dataset.key === '{keys[50]}'")
    samples.keyboard.press("p")
    samples.wait_for_function(f"() => document.querySelector('article').dataset.key === '{keys[0]}'")
    samples.keyboard.press("/")
    assert samples.evaluate("document.activeElement.id") == "query"
    samples.keyboard.type("jk?")
    assert samples.input_value("#query") == "jk?"
    samples.keyboard.press("Escape")
    samples.keyboard.press("?")
    assert samples.is_visible("#shortcuts")
    samples.keyboard.press("Escape")
    assert not samples.is_visible("#shortcuts")


def test_j_goes_on_to_the_next_page_and_k_comes_back(samples, blend):
    keys = [stored.sample.key for stored in blend]
    for _ in range(51):
        samples.keyboard.press("j")
    samples.wait_for_function(f"() => document.activeElement.dataset.key === '{keys[50]}'")
    samples.keyboard.press("k")
    samples.wait_for_function(f"() => document.activeElement.dataset.key === '{keys[49]}'")


def test_a_link_leads_to_its_sample_on_whatever_page(look, report, blend):
    key = blend[len(blend) - 1].sample.key
    page = look(f"{report.as_uri()}#sample={key}")
    page.wait_for_function(f"() => document.activeElement.dataset.key === '{key}'")
    assert page.locator(f"article[data-key={key}]").is_visible()
    first = blend[0].sample.key
    page.evaluate(f"location.hash = 'sample={first}'")
    page.wait_for_function(f"() => document.activeElement.dataset.key === '{first}'")
    page.evaluate("location.hash = 'sample=%E0%A4%A'")
    page.wait_for_function("() => document.querySelector('#found').innerText.startsWith('There is no sample')")


def test_the_address_keeps_the_filters(look, report):
    page = look(f"{report.as_uri()}#samples?dataset=llava&q=question&split=train")
    before = shown(page)
    assert page.input_value("#dataset") == "llava"
    assert page.input_value("#query") == "question"
    page.reload()
    page.wait_for_selector("article")
    assert shown(page) == before
    page.click("#to-overview")
    page.wait_for_selector(".facts", state="visible")
    page.click("#to-samples")
    assert shown(page) == before
    assert "dataset=llava" in page.url


def test_pictures_open_large_and_give_the_focus_back(samples):
    samples.click(".picture >> nth=0")
    assert samples.is_visible("#viewer")
    assert samples.inner_text("#viewer-caption").startswith("Image 1 of")
    samples.keyboard.press("Escape")
    assert not samples.is_visible("#viewer")
    assert samples.evaluate("document.activeElement.className") == "picture"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["overview", "samples"])
def test_a_phone_shows_it_without_sideways_scrolling(look, report, scheme, view):
    page = look(f"{report.as_uri()}#{view}", width=390, height=844, color_scheme=scheme, has_touch=True)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == 390


CONTRAST = (Path(__file__).parents[1] / "web" / "contrast.js").read_text().partition("\n")[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["overview", "samples"])
def test_all_text_stands_out_from_its_ground(look, report, scheme, view):
    """The contrast that WCAG 2.2 asks for at level AA, 4.5 to 1."""
    page = look(f"{report.as_uri()}#{view}", color_scheme=scheme)
    assert page.evaluate(CONTRAST) == []


def test_light_and_dark_can_be_switched(samples):
    ground = "getComputedStyle(document.body).backgroundColor"
    before = samples.evaluate(ground)
    samples.keyboard.press("d")
    assert samples.evaluate(ground) != before


def test_everything_that_can_be_clicked_has_a_name_and_can_be_reached(samples):
    controls = "[...document.querySelectorAll('button, a, input, select')].filter((one) => one.checkVisibility())"
    named = "one.innerText || one.ariaLabel || one.labels?.length || one.querySelector('img[alt]')"
    nameless = samples.evaluate(
        f"() => {controls}.filter((one) => one.tabIndex < 0 || !({named})).map((one) => one.outerHTML)"
    )
    assert nameless == []
    samples.keyboard.press("Tab")
    assert samples.evaluate("document.activeElement.id") == "skip"
    samples.keyboard.press("Enter")
    assert samples.evaluate("document.activeElement.id") == "main"
