"""KV caches of earlier prompts: what of them is used again, and by whom."""

import pytest

from blender.serve.generate import answer_prompts
from blender.serve.prefix_cache import CachedPrefix, PrefixCaches
from blender.serve.sampling import Sampling
from blender.serve.session import Session
from tests.serve.http.conftest import picture

SHORT = Sampling(max_new_tokens=4)


def prompt_of(loaded, *turns, question="And now?", images=(), system=None):
    session = Session(loaded, system=system)
    for asked, shown, answer in turns:
        session.record(asked, answer, shown)
    return session.prepare(question, images, SHORT)[0]


def answered(loaded, caches, prompt, owner="a"):
    prefix = caches.take(owner, prompt)
    answer = answer_prompts(loaded, [prompt], [SHORT], prefix=prefix)[0]
    caches.put(owner, prefix)
    return answer


@pytest.fixture
def loaded(talkative):
    return talkative


@pytest.fixture
def caches():
    return PrefixCaches(2)


def test_the_next_question_computes_only_what_is_new(loaded, caches):
    opening = prompt_of(loaded, question="What is this?", images=[picture(1)])
    first = answered(loaded, caches, opening)
    following = prompt_of(loaded, ("What is this?", [picture(1)], first.text))
    second = answered(loaded, caches, following)
    assert first.num_cached_tokens == 0
    assert second.num_cached_tokens >= first.num_prompt_tokens
    fresh = answered(loaded, PrefixCaches(0), following)
    assert (fresh.text, fresh.num_cached_tokens) == (second.text, 0)


def test_another_first_question_image_or_system_text_is_another_conversation(loaded, caches):
    answered(loaded, caches, prompt_of(loaded, ("a", [picture(1)], "b"), ("c", [], "d")))
    for other in (
        prompt_of(loaded, ("a", [picture(2)], "b")),
        prompt_of(loaded, ("A", [picture(1)], "b")),
        prompt_of(loaded, ("a", [], "b")),
        prompt_of(loaded, ("a", [picture(1)], "b"), system="Be brief."),
    ):
        assert len(caches.take("a", other)) == 0
    assert len(caches) == 1


def test_an_edited_turn_continues_from_the_turns_before_it(loaded, caches):
    answered(loaded, caches, prompt_of(loaded, ("a", [picture(1)], "b"), ("c", [], "d"), question="e"))
    edited = prompt_of(loaded, ("a", [picture(1)], "b"), ("C", [picture(2)], "D"), question="e")
    answer = answered(loaded, caches, edited)
    assert answer.num_cached_tokens > edited.first_answer
    assert answer.text == answered(loaded, PrefixCaches(0), edited).text


def test_a_cache_is_taken_by_one_request_at_a_time(loaded, caches):
    answered(loaded, caches, prompt_of(loaded, ("a", [], "b")))
    following = prompt_of(loaded, ("a", [], "b"), question="c")
    taken = [len(caches.take("a", following)) for _ in range(2)]
    assert taken[0] > taken[1] == 0


def test_owners_do_not_see_what_others_ask(loaded, caches):
    prompt = prompt_of(loaded, ("a", [], "b"))
    answered(loaded, caches, prompt, owner="a")
    assert answered(loaded, caches, prompt, owner="b").num_cached_tokens == 0
    assert answered(loaded, caches, prompt, owner="a").num_cached_tokens == len(prompt) - 1


def test_the_least_recently_used_is_forgotten(loaded, caches):
    for name in "abc":
        answered(loaded, caches, prompt_of(loaded, (name, [], "x")))
    assert len(caches) == 2
    assert answered(loaded, caches, prompt_of(loaded, ("a", [], "x"))).num_cached_tokens == 0
    caches.clear()
    assert len(caches) == 0


def test_an_empty_cache_holds_nothing(loaded):
    prefix, prompt = CachedPrefix(), prompt_of(loaded)
    assert (len(prefix), prefix.common_length(prompt), prefix.crop_to(prompt)) == (0, 0, 0)
