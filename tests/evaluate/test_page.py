"""The page of an evaluation, as a browser shows it."""

import pytest

from blender.evaluate.ask import AskOptions
from blender.evaluate.read import read_data
from blender.evaluate.run import evaluate, name_models
from blender.serve.loading import open_model
from blender.serve.sampling import Sampling
from tests.evaluate.conftest import NASTY, write


@pytest.fixture(scope="module")
def page(models, drawn, tmp_path_factory):
    """The page of two models, of a blend and of a file whose texts look like markup."""
    from tests import corpora

    root = tmp_path_factory.mktemp("page")
    corpora.draw(root / "photo.jpg", 1)
    nasty = read_data(str(write(root / "nasty.json", {NASTY: [[NASTY, "photo.jpg"], ["Why?" * 300]]})))
    data = [nasty, read_data(str(drawn / "blend"), limit=6)]
    options = AskOptions(Sampling(max_new_tokens=8))
    evaluate(
        name_models(models), data, root / "out", options,
        open_folder=lambda model: open_model(model.folder, name=model.name, device="cpu"), num_shown=5,
    )  # fmt: skip
    return root / "out" / "table.html"


def test_the_page_stands_alone(page):
    text = page.read_text()
    assert "http-equiv" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "Shown are 5 of 7 conversations" in text


@pytest.fixture
def look(chromium, page):
    """Open the page in a new window; no script may fail, and nothing may be said on the console."""
    complaints, contexts = [], []

    def open_page(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.goto(page.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def test_answers_stand_beside_each_other_and_texts_are_texts(look):
    tab = look()
    assert tab.title().startswith("mmca/model, causal/model on nasty")
    first = tab.locator(".conversation").first
    assert first.locator("h3").inner_text() == " ".join(NASTY.split())
    assert first.locator(".question").first.inner_text() == NASTY
    assert tab.locator(".conversation script, .conversation b:not(figcaption b), img[src=x]").count() == 0
    tops = {round(one.bounding_box()["y"]) for one in first.locator(".answer").all()[:2]}
    assert len(tops) == 1


def test_pictures_are_shown_with_their_numbers(look):
    loaded = "image => image.complete && image.naturalWidth > 0"

    tab = look()
    images = tab.locator("figure img")
    for place in range(images.count()):
        images.nth(place).scroll_into_view_if_needed()
        tab.wait_for_function(loaded, arg=images.nth(place).element_handle())
    second = tab.locator(".conversation").nth(1)
    labels = [one.inner_text().split(".")[0] for one in second.locator("figcaption b").all()]
    assert labels == [f"image {number}" for number in range(1, len(labels) + 1)] != []


def test_conversations_can_be_found_by_words_kind_and_dataset(look):
    tab = look()
    shown = tab.locator(".conversation:not([hidden])")
    assert shown.count() == 5
    tab.fill("[name=text]", "broken script")
    assert shown.count() == 1
    assert tab.locator("output").inner_text() == "1 of 5"
    tab.fill("[name=text]", "")
    tab.select_option("[name=dataset]", index=1)
    wanted = tab.locator("[name=dataset]").input_value()
    assert {one.get_attribute("data-dataset") for one in shown.all()} == {wanted}
    tab.select_option("[name=dataset]", "")
    tab.select_option("[name=kind]", index=1)
    kind = tab.locator("[name=kind]").input_value()
    assert shown.count() > 0
    assert all(kind in one.get_attribute("data-kinds").split() for one in shown.all())
    tab.select_option("[name=kind]", "")
    tab.select_option("[name=only]", "wrong")
    assert all(one.locator(".answer.wrong").count() for one in shown.all())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_sticks_out_and_everything_can_be_read(look, scheme, width):
    tab = look(viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground.removeprefix("rgb(").removesuffix(")").split(","))
    assert (brightness > 600) == (scheme == "light")


def test_without_scripts_all_is_there(look):
    tab = look(java_script_enabled=False)
    assert tab.locator(".conversation").count() == 5
    assert not tab.locator(".filters").is_visible()
