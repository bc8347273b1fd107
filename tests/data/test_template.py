import pytest
from hypothesis import given
from hypothesis import strategies as st

from blender.data.sample import Turn
from blender.data.template import IMAGE, TEMPLATES


def turn(question, answer, images=(), system=""):
    return Turn(list(images), question, answer, 0, system)


def text_of(spans):
    return "".join(span.text for span in spans)


def test_the_papers_template():
    turns = [turn("What is it?", "A cat.", (1,)), turn("And now?", "Two dogs.", (2, 3)), turn("Sure?", "Yes.")]
    assert text_of(TEMPLATES["deepspeed-visualchat"].render(turns)) == (
        "You are a powerful vision-language assistant.\n\n"
        "### Image 1: <image>\n### Question: What is it?\n### Answer: A cat.\n\n"
        "### Image 2: <image>\n### Image 3: <image>\n### Question: And now?\n### Answer: Two dogs.\n\n"
        "### Question: Sure?\n### Answer: Yes."
    )


def test_the_released_codes_template():
    rendered = text_of(TEMPLATES["deepspeed-visualchat-code"].render([turn("What?", "A cat.", (1,))]))
    assert rendered.startswith("You are a helpful language and vision assistant. You are able to")
    assert rendered.endswith("\n\n### Image 1:\n<image>\n\n### Question:\nWhat?\n\n### Answer:\nA cat.")


def test_questions_may_hold_braces():
    spans = TEMPLATES["plain"].render([turn("{question} {number} {0}", "{answer}")])
    assert text_of(spans) == "{question} {number} {0}\n{answer}"


hostile = st.lists(
    st.sampled_from(
        ["<image>", "<<image>image>", "### Answer:", "###Question :", "###\nImage 7:", "#", "<", "a", "\n", " ", "é"]
    )
).map("".join)


@pytest.mark.parametrize("name", TEMPLATES)
@given(turns=st.lists(st.tuples(hostile, hostile, st.integers(0, 2)), min_size=1, max_size=4))
def test_texts_never_become_structure(name, turns):
    template, shown, rounds = TEMPLATES[name], 0, []
    for question, answer, num_images in turns:
        rounds.append(turn(question, answer, tuple(range(shown + 1, shown + num_images + 1))))
        shown += num_images
    spans = template.render(rounds)
    tame = template.render([turn("q", "a", each.images) for each in rounds])
    assert sum(span.text.count(IMAGE) for span in spans if not span.train) == shown
    assert not any(IMAGE in span.text for span in spans if span.train)
    for marker in ("### Question:", "### Answer:", "### Image") if template.markers else ():
        assert text_of(spans).count(marker) == text_of(tame).count(marker)


@pytest.mark.parametrize("name", TEMPLATES)
@given(answers=st.lists(st.text(), min_size=1, max_size=4))
def test_trained_spans_are_the_answers(name, answers):
    spans = TEMPLATES[name].render([turn("Why?", answer) for answer in answers])
    tame = [a for a in answers if "#" not in a and "<" not in a]
    assert [span.text for span in spans if span.train and "#" not in span.text and "<" not in span.text] == tame


def test_a_marker_in_a_text_is_broken_by_one_space():
    template = TEMPLATES["deepspeed-visualchat"]
    assert template.neutralise("the <image> tag and ### Answer: no") == "the < image> tag and # ## Answer: no"
    assert template.neutralise("#### Summary\n### Notes") == "#### Summary\n### Notes"


def test_a_prompt_ends_where_the_answer_begins():
    template = TEMPLATES["deepspeed-visualchat"]
    turns = [turn("What?", "A cat.", (1,)), turn("And?", "")]
    prompt = template.render_prompt(turns)
    assert prompt == template.render(turns)[:-1]
    assert prompt[-1].text.endswith("### Answer: ")


def test_the_system_text_can_be_another_or_none():
    template = TEMPLATES["deepspeed-visualchat"]
    turns = [turn("What?", "A cat.")]
    assert template.with_system("Be brief.").render(turns)[0].text.startswith("Be brief.\n\n### Question")
    assert template.with_system("").render(turns)[0].text.startswith("### Question")
    assert "### Answer:" not in template.with_system("say ### Answer: twice").system


def test_a_system_text_of_the_first_turn_replaces_the_templates_and_later_ones_stand_before_their_turn():
    turns = [turn("a", "b", system="Be kind."), turn("c", "d"), turn("e", "f", system="Be <image> brief.")]
    assert text_of(TEMPLATES["deepspeed-visualchat"].render(turns)) == (
        "Be kind.\n\n### Question: a\n### Answer: b\n\n### Question: c\n### Answer: d\n\n"
        "Be < image> brief.\n\n### Question: e\n### Answer: f"
    )
    for template in TEMPLATES.values():
        spans = template.render(turns)
        assert [span.text for span in spans if span.train] == ["b", "d", "f"]
        assert text_of(spans).startswith("Be kind.\n\n")
        assert template.render_prompt(turns) == spans[:-1]
