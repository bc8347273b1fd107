"""The page, in a real browser, with a real model behind it."""

import base64
import json
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from blender.core.visible import visible
from blender.serve.http.settings import RequestLimits
from tests.serve.http.conftest import picture

NASTY = '<img src=x onerror="document.title=1"> <script>document.title=2</script> </script> {{setup}} שלום'
CONTRAST = (Path(__file__).parents[2] / "web" / "contrast.js").read_text().partition("\n")[2]


@pytest.fixture
def look(chromium):
    """Open a server's page; no script may fail, and nothing may be said on the console."""
    complaints, contexts = [], []

    def open_page(server, width=1280, height=900, expected=(), **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)

        def complain(text):
            if not any(words in text for words in expected):
                complaints.append(text)

        page.on("console", lambda message: complain(message.text))
        page.on("pageerror", lambda error: complain(str(error)))
        page.requests = []
        page.on("request", lambda request: page.requests.append(request))
        page.goto(server.url)
        set_longest(page, 12)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(look, served):
    return look(served)


def set_longest(page, tokens):
    page.evaluate("(tokens) => { document.querySelector('#new-tokens').value = tokens }", tokens)


def files(*seeds):
    return [{"name": f"photo-{n}.jpg", "mimeType": "image/jpeg", "buffer": picture(n, (80, 60))} for n in seeds]


def add(page, *seeds):
    before = page.locator("#waiting li").count()
    page.set_input_files("#files", files(*seeds))
    page.wait_for_function("(n) => document.querySelectorAll('#waiting li').length === n", arg=before + len(seeds))


def ask(page, question):
    page.fill("#question", question)
    page.keyboard.press("Enter")


def wait_for_answers(page, count):
    page.wait_for_function(
        "(n) => document.querySelectorAll('.answer:not(.growing)').length === n"
        " && !document.querySelector('#send').hidden",
        arg=count,
    )


def answers(page):
    return page.locator(".answer").all_text_contents()


def sent(page):
    """Return the messages of every request so far."""
    return [json.loads(request.post_data)["messages"] for request in page.requests if request.method == "POST"]


def images_of(message):
    if isinstance(message["content"], str):
        return []
    urls = [part["image_url"]["url"] for part in message["content"] if part["type"] == "image_url"]
    return [base64.b64decode(url.partition(",")[2]) for url in urls]


def captions(page, selector="#talk figcaption"):
    return page.locator(selector).all_text_contents()


def test_images_are_numbered_as_the_model_sees_them(page):
    add(page, 1, 2)
    assert captions(page, "#waiting .number") == ["Image 1", "Image 2"]
    ask(page, "What differs?")
    wait_for_answers(page, 1)
    add(page, 3)
    assert captions(page, "#waiting .number") == ["Image 3"]
    ask(page, "And this?")
    wait_for_answers(page, 2)
    assert captions(page) == ["Image 1", "Image 2", "Image 3"]
    first, answer, second = sent(page)[-1]
    # the very bytes of the files, in this order
    assert images_of(first) == [picture(1, (80, 60)), picture(2, (80, 60))]
    assert images_of(second) == [picture(3, (80, 60))]
    assert {**answer, "content": visible(answer["content"])} == {"role": "assistant", "content": answers(page)[0]}
    assert page.locator("#waiting li").count() == 0
    assert "tokens in" in page.locator(".measures").last.inner_text()


def test_an_image_can_be_taken_out_again(page):
    add(page, 1, 2, 3)
    page.click("[aria-label='Remove image 1']")
    assert captions(page, "#waiting .number") == ["Image 1", "Image 2"]
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    assert images_of(sent(page)[-1][0]) == [picture(2, (80, 60)), picture(3, (80, 60))]


TRANSFER = """([content, name, kind]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    for (const number of [1, 2]) transfer.items.add(new File([bytes], `${number}-${name}`, { type: kind }));
    return transfer;
}"""


def test_images_are_dropped_and_pasted(page):
    content = base64.b64encode(picture(1, (80, 60), "PNG")).decode()
    transfer = page.evaluate_handle(TRANSFER, [content, "a.png", "image/png"])
    page.dispatch_event("#main", "dragenter", {"dataTransfer": transfer})
    assert page.is_visible("#drop")
    page.dispatch_event("#main", "drop", {"dataTransfer": transfer})
    page.wait_for_function("() => document.querySelectorAll('#waiting li').length === 2")
    assert not page.is_visible("#drop")
    paste = "(transfer) => dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, cancelable: true }))"
    page.evaluate(paste, transfer)
    page.wait_for_function("() => document.querySelectorAll('#waiting li').length === 4")
    assert page.locator("#waiting img").nth(3).get_attribute("alt") == "Image 4: 2-a.png"


def test_what_is_no_image_is_told_and_the_others_stay(page):
    broken = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"}
    page.set_input_files("#files", [*files(1), broken, *files(2)])
    page.wait_for_selector("#notice:not([hidden])")
    assert page.inner_text("#notice") == "notes.txt is no image that can be read."
    assert captions(page, "#waiting .number") == ["Image 1", "Image 2"]


def test_a_large_picture_is_made_smaller_and_more_than_allowed_are_not_taken(look, serve):
    server = serve(RequestLimits(images=2, body=400_000))
    page = look(server)
    noise = picture(1, (3_000, 200), "PNG")
    assert len(noise) > 100_000
    page.set_input_files("#files", [{"name": "big.png", "mimeType": "image/png", "buffer": noise}, *files(1, 2)])
    page.wait_for_selector("#notice:not([hidden])")
    assert page.inner_text("#notice") == "A conversation has 2 images at most."
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    first, second = images_of(sent(page)[-1][0])
    assert Image.open(BytesIO(first)).size == (2_048, 137)
    assert second == picture(1, (80, 60))


def test_an_answer_comes_piece_by_piece_and_can_be_stopped(page, served):
    set_longest(page, 400)
    ask(page, "Tell me a long story")
    page.wait_for_function("() => document.querySelector('.answer.growing')?.textContent.length > 5")
    page.click("#stop")
    wait_for_answers(page, 1)
    assert page.inner_text(".note") == "Stopped."
    said = answers(page)[0]
    served.wait(lambda: served.metric("running") == 0)
    # what was said stays, and the conversation goes on from it
    set_longest(page, 3)
    ask(page, "Go on")
    wait_for_answers(page, 2)
    assert visible(sent(page)[-1][1]["content"]) == said


def test_an_answer_is_given_anew(page):
    page.evaluate("() => { document.querySelector('#temperature').value = 2 }")
    set_longest(page, 30)
    add(page, 1)
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    first = answers(page)
    page.click("text=Regenerate")
    page.wait_for_function("(first) => document.querySelector('.answer').textContent !== first", arg=first[0])
    wait_for_answers(page, 1)
    assert answers(page) != first
    assert sent(page)[0] == sent(page)[1]
    assert captions(page) == ["Image 1"]


def test_an_earlier_question_is_changed_and_what_followed_goes(page):
    add(page, 1)
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    add(page, 2)
    ask(page, "And this?")
    wait_for_answers(page, 2)
    page.fill("#question", "a draft")
    page.locator("text=Edit").first.click()
    assert page.input_value("#question") == "What is this?"
    assert captions(page, "#waiting .number") == ["Image 1"]
    assert page.locator(".round.old").count() == 2
    page.click("#cancel")
    assert page.input_value("#question") == "a draft"
    assert page.locator(".round.old").count() == 0
    page.locator("text=Edit").first.click()
    add(page, 3)
    ask(page, "What are these?")
    wait_for_answers(page, 1)
    assert captions(page) == ["Image 1", "Image 2"]
    assert len(sent(page)[-1]) == 1
    assert images_of(sent(page)[-1][0]) == [picture(1, (80, 60)), picture(3, (80, 60))]
    assert page.input_value("#question") == "a draft"


def test_answers_are_copied(look, served):
    page = look(served, permissions=["clipboard-read", "clipboard-write"])
    ask(page, "Hello")
    wait_for_answers(page, 1)
    page.locator(".round > .line:not(.asked) >> text=Copy").click()
    page.wait_for_selector("text=Copied")
    assert page.evaluate("() => navigator.clipboard.readText()") == answers(page)[0]


def event(text, finish=None):
    return f"data: {json.dumps({'choices': [{'delta': {'content': text}, 'finish_reason': finish}]})}\n\n"


def instead(page, body):
    """Have something else answered than the model would."""
    page.route("**/chat/completions", lambda route: route.fulfill(body=body, content_type="text/event-stream"))


def test_text_shows_as_text_whoever_wrote_it(page):
    instead(page, event(NASTY) + event("", "stop") + "data: [DONE]\n\n")
    title = page.title()
    ask(page, NASTY)
    wait_for_answers(page, 1)
    assert answers(page) == [NASTY]
    assert page.locator(".bubble.question").all_text_contents() == [NASTY]
    assert page.locator(".bubble *").count() == 0
    assert page.title() == title == "tiny: visualchat"


def test_what_texts_hide_is_shown_as_elsewhere(page):
    hidden = "a\u202eb\u2066c\u200bd\x1b[31m\x85\ufeff \U000e0041 \U0001f469\u200d\U0001f467 שלום\tx"
    instead(page, event(hidden) + event("\u202d", "stop") + "data: [DONE]\n\n")
    ask(page, hidden)
    wait_for_answers(page, 1)
    assert answers(page) == [visible(hidden + "\u202d")]
    assert page.locator(".bubble.question").all_text_contents() == [visible(hidden)]


def test_the_page_hides_nothing_that_the_terminal_shows(page):
    ask(page, "Hello")
    wait_for_answers(page, 1)
    every = "".join(map(chr, [*range(0x3100), *range(0xD7F0, 0x10000), *range(0xE0000, 0xE0200)]))
    every = "".join(one for one in every if one not in "\r" and not 0xD800 <= ord(one) <= 0xDFFF)
    instead(page, event(every, "stop") + "data: [DONE]\n\n")
    ask(page, "And now?")
    wait_for_answers(page, 2)
    assert answers(page)[1] == visible(every)


def test_a_refused_question_can_be_asked_again(look, served):
    page = look(served, expected=["400"])
    add(page, 1)
    ask(page, "word " * 3_000)
    page.wait_for_selector("#notice:not([hidden])")
    assert "the model has room for 2,048" in page.inner_text("#notice")
    assert page.locator(".round").count() == 0
    assert page.input_value("#question").startswith("word word")
    assert captions(page, "#waiting .number") == ["Image 1"]
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    assert page.is_hidden("#notice")


def test_an_empty_question_is_not_sent(page):
    page.click("#send")
    assert page.inner_text("#notice") == "Write a question first."
    add(page, 1)
    page.click("#send")
    assert page.inner_text("#notice") == "Ask something about the images."
    assert sent(page) == []


def test_a_server_that_has_gone_is_told(look, served):
    page = look(served, expected=["ERR_FAILED", "Failed to load"])
    page.route("**/chat/completions", lambda route: route.abort())
    ask(page, "Hello")
    page.wait_for_selector("#notice:not([hidden])")
    assert page.inner_text("#notice") == "The server cannot be reached."
    assert page.input_value("#question") == "Hello"


def test_an_answer_that_breaks_off_says_so(page):
    instead(page, event("Half an") + 'data: {"error": {"message": "no more"}}\n\n')
    ask(page, "Hello")
    wait_for_answers(page, 1)
    assert answers(page) == ["Half an"]
    assert page.inner_text(".note") == "Broken off: no more"


def test_the_key_is_asked_for_and_kept_for_this_window(look, serve):
    page = look(serve(api_key="secret"), expected=["401"])
    ask(page, "Hello")
    page.wait_for_selector("#settings[open]")
    page.fill("#key", "secret")
    page.click("#settings button")
    page.click("#send")
    wait_for_answers(page, 1)
    page.reload()
    set_longest(page, 12)
    ask(page, "Hello")
    wait_for_answers(page, 1)


def test_settings_are_sent(page):
    page.click("#to-settings")
    page.fill("#temperature", "0")
    page.fill("#top-p", "0.5")
    page.fill("#new-tokens", "3")
    page.fill("#system", "Be brief.")
    page.click("#settings button")
    ask(page, "Hello")
    wait_for_answers(page, 1)
    body = json.loads(page.requests[-1].post_data)
    assert (body["temperature"], body["top_p"], body["max_completion_tokens"]) == (0, 0.5, 3)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert "Cut off" in page.inner_text(".note")


def test_a_new_chat_begins_with_image_1_even_while_an_answer_comes(page):
    set_longest(page, 400)
    add(page, 1)
    ask(page, "What is this?")
    page.wait_for_selector(".answer.growing")
    page.click("#anew")
    page.wait_for_selector("#send", state="visible")
    assert page.locator(".round").count() == 0
    assert page.input_value("#question") == ""
    add(page, 2)
    assert captions(page, "#waiting .number") == ["Image 1"]


def test_shift_enter_makes_a_new_line(page):
    page.fill("#question", "one")
    page.keyboard.press("End")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    assert page.input_value("#question") == "one\ntwo"


def test_pictures_open_large(page):
    add(page, 1)
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    page.click(".picture")
    assert page.inner_text("#viewer-caption") == "Image 1 · photo-1.jpg · 80 × 60"
    page.keyboard.press("Escape")
    assert page.is_hidden("#viewer")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_of_it(look, served, scheme):
    """Nothing to scroll sideways, contrast of WCAG's level AA, and fingers find every button."""
    page = look(served, width=390, height=844, color_scheme=scheme, has_touch=True, is_mobile=True)
    add(page, 1, 2, 3)
    ask(page, "What differs?\nTell me " + "everything" * 20)
    page.click("#send")
    wait_for_answers(page, 1)
    add(page, 4)
    page.locator("text=Edit").first.click()
    assert page.evaluate("() => document.documentElement.scrollWidth") == 390
    page.click("#cancel")
    assert page.evaluate(CONTRAST) == []
    visible = "() => [...document.querySelectorAll('button')].filter((one) => one.checkVisibility())"
    small = page.evaluate(
        f"{visible}.map((one) => [one.outerHTML, one.getBoundingClientRect()])"
        ".filter(([, box]) => box.width < 32 || box.height < 32).map(([html]) => html)"
    )
    assert small == []


def test_everything_that_can_be_clicked_has_a_name(page):
    add(page, 1)
    ask(page, "What is this?")
    wait_for_answers(page, 1)
    controls = "[...document.querySelectorAll('button, a, input, textarea')].filter((one) => one.checkVisibility())"
    named = "one.innerText || one.ariaLabel || one.labels?.length || one.querySelector('img[alt]')"
    assert page.evaluate(f"() => {controls}.filter((one) => !({named})).map((one) => one.outerHTML)") == []


def test_light_and_dark_can_be_switched(page):
    ground = "() => getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.click("#theme")
    assert page.evaluate(ground) != before


def test_it_asks_nobody_but_its_server(page, served):
    ask(page, "Hello")
    wait_for_answers(page, 1)
    assert all(request.url.startswith((served.url, "data:", "blob:")) for request in page.requests)
