import functools
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from blender.core.errors import SessionError
from blender.serve.http.engine import Engine, Job
from blender.serve.http.faults import RequestError
from blender.serve.http.measures import Measures
from blender.serve.http.preparing import Conversations
from blender.serve.http.reading import Asked
from blender.serve.sampling import Sampling
from blender.serve.session import Answer, Session
from tests.serve.http.conftest import picture


class Caller:
    """Somebody who asks, and keeps what is heard."""

    def __init__(self, conversations, question="What is this?", images=(), tokens=12, client="a", seconds=60, **more):
        self.heard, self.ended = [], threading.Event()
        request = Asked(None, (), question, tuple(images), Sampling(max_new_tokens=tokens, **more), client)
        self.job = Job(request, conversations.lend(request), self.hear, time.monotonic() + seconds)

    def hear(self, heard):
        self.heard.append((time.monotonic(), heard))
        if not isinstance(heard, str):
            self.ended.set()

    @property
    def text(self):
        return "".join(heard for _, heard in self.heard if isinstance(heard, str))

    def end(self):
        assert self.ended.wait(60)
        return self.heard[-1][1]


@pytest.fixture
def conversations(loaded):
    return Conversations(loaded, 0, "refuse")


@contextmanager
def working(conversations, callers=(), batch=8):
    """Run an engine; those who call at first are there before it begins."""
    engine = Engine(conversations, batch, Measures())
    for caller in callers:
        engine.submit(caller.job)
    engine.start()
    yield engine
    engine.close()


def test_answers_together_are_those_that_each_would_get_alone(conversations, loaded):
    asked = [("What is this?", [picture(1)]), ("Hello", []), ("And image 2?", [picture(2), picture(3)])]
    callers = [Caller(conversations, *one, client=str(n)) for n, one in enumerate(asked)]
    with working(conversations, callers):
        answers = [caller.end() for caller in callers]
    for (question, images), answer, caller in zip(asked, answers, callers, strict=True):
        alone = Session(loaded).ask(question, images, sampling=Sampling(max_new_tokens=12))
        assert (answer.text, answer.num_prompt_tokens) == (alone.text, alone.num_prompt_tokens)
        assert caller.text == answer.text


def test_a_batch_does_not_take_the_place_of_a_kept_conversation(loaded):
    keeping = Conversations(loaded, 1, "refuse")
    alone = Caller(keeping)
    with working(keeping, [alone]) as engine:
        alone.end()
        engine.close()
    kept = list(keeping._kept)
    callers = [Caller(keeping, client=name) for name in "ab"]
    with working(keeping, callers):
        [caller.end() for caller in callers]
    assert list(keeping._kept) == kept != []


def test_a_short_answer_does_not_wait_for_a_long_one(conversations):
    short, long = Caller(conversations, tokens=2), Caller(conversations, tokens=300)
    with working(conversations, [short, long]):
        short.end(), long.end()
    when = [caller.heard[-1][0] for caller in (short, long)]
    begun = long.heard[0][0]
    assert when[0] - begun < (when[1] - begun) / 4


def test_who_lets_others_in_and_who_is_let_in_are_answered_as_alone(conversations, loaded):
    greedy = [Caller(conversations, f"What is {word}?", tokens=250) for word in ("this", "that")]
    modest = Caller(conversations, "And image 1?", [picture(1)], client="b")
    with working(conversations, greedy) as engine:
        while not greedy[0].heard:
            time.sleep(0.01)
        engine.submit(modest.job)
        answer = modest.end()
        assert not any(caller.ended.is_set() for caller in greedy)
        answers = [caller.end() for caller in greedy]
    alone = Session(loaded).ask("And image 1?", [picture(1)], sampling=Sampling(max_new_tokens=12))
    assert answer.text == alone.text
    for caller, whole in zip(greedy, answers, strict=True):
        expected = Session(loaded).ask(caller.job.asked.question, sampling=Sampling(max_new_tokens=250))
        assert (whole.text, whole.num_new_tokens) == (expected.text, expected.num_new_tokens) == (caller.text, 250)


def test_a_batch_of_several_users_is_not_interrupted(conversations):
    together = [Caller(conversations, client=name, tokens=60) for name in "ab"]
    late = Caller(conversations, client="c", tokens=2)
    with working(conversations, together) as engine:
        while not together[0].heard:
            time.sleep(0.01)
        engine.submit(late.job)
        late.end()
        assert all(caller.ended.is_set() for caller in together)


def test_one_with_a_damaged_image_does_the_others_no_harm(conversations):
    damaged = Caller(conversations, images=[picture(1, (400, 300))[:900]], client="a")
    others = [Caller(conversations, client=name) for name in "bc"]
    with working(conversations, [damaged, *others]) as engine:
        assert isinstance(damaged.end(), SessionError)
        assert all(isinstance(other.end(), Answer) for other in others)
        assert engine.is_well


def test_who_goes_is_not_answered_any_further(conversations):
    caller, other = Caller(conversations, tokens=1_500), Caller(conversations, tokens=40, client="b")
    with working(conversations, [caller]) as engine:
        while not caller.heard:
            time.sleep(0.01)
        engine.withdraw(caller.job)
        answer = caller.end()
        engine.submit(other.job)
        assert isinstance(other.end(), Answer)
    assert answer.finish == "cancelled"
    assert answer.num_new_tokens < 1_500


def test_who_goes_while_waiting_is_never_asked(conversations):
    first, second, third = (Caller(conversations, client=name, tokens=60) for name in "abc")
    with working(conversations, [first, second, third], batch=1) as engine:
        engine.withdraw(second.job)
        first.end(), third.end()
        assert engine.num_waiting == 0
    assert second.heard == []


def test_time_that_is_up_ends_an_answer_with_what_there_is(conversations):
    # warm, so that the time goes into tokens
    with working(conversations, [warm := Caller(conversations, tokens=2)]) as engine:
        warm.end()
        caller = Caller(conversations, tokens=1_900, seconds=0.7)
        engine.submit(caller.job)
        answer = caller.end()
    assert answer.finish == "cancelled"
    assert 0 < answer.num_new_tokens < 1_900


def test_time_that_is_up_before_the_turn_is_told(conversations):
    late = Caller(conversations, seconds=-1)
    with working(conversations, [late]):
        assert late.end().status == 503


def test_closing_stops_all_and_refuses_more(conversations):
    running, waiting = Caller(conversations, tokens=1_900), Caller(conversations, client="b")
    with working(conversations, [running, waiting], batch=1) as engine:
        while not running.heard:
            time.sleep(0.01)
        engine.close()
        assert running.end().finish == "cancelled"
        assert waiting.end().code == "shutting_down"
        assert not engine.is_well
        with pytest.raises(RequestError, match="shutting down"):
            engine.submit(Caller(conversations).job)


def broken(loaded, monkeypatch, fault, times):
    """Let a model fail."""
    left = [times]
    whole = type(loaded.model).forward

    @functools.wraps(whole)
    def forward(self, *arguments, **options):
        if left[0]:
            left[0] -= 1
            raise fault
        return whole(self, *arguments, **options)

    monkeypatch.setattr(type(loaded.model), "forward", forward)


def test_without_memory_for_all_they_are_answered_one_by_one(conversations, loaded, monkeypatch):
    broken(loaded, monkeypatch, torch.OutOfMemoryError("too much"), 1)
    callers = [Caller(conversations, client=name) for name in "ab"]
    with working(conversations, callers) as engine:
        assert all(isinstance(caller.end(), Answer) for caller in callers)
        assert engine.is_well


def test_without_memory_for_one_it_is_told(conversations, loaded, monkeypatch):
    broken(loaded, monkeypatch, torch.OutOfMemoryError("too much"), 2)
    caller = Caller(conversations)
    with working(conversations, [caller]) as engine:
        assert caller.end().code == "out_of_memory"
        assert engine.is_well


def test_a_model_that_always_fails_is_not_well(conversations, loaded, monkeypatch):
    broken(loaded, monkeypatch, RuntimeError("device-side assert"), 3)
    with working(conversations) as engine:
        for number in range(3):
            assert engine.is_well, number
            caller = Caller(conversations)
            engine.submit(caller.job)
            assert isinstance(caller.end(), RuntimeError)
        while engine.num_running:
            time.sleep(0.01)
        assert not engine.is_well
        recovered = Caller(conversations)
        engine.submit(recovered.job)
        assert isinstance(recovered.end(), Answer)
        assert engine.is_well
