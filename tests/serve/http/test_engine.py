import functools
import threading
import time
from contextlib import contextmanager

import pytest
import torch

from blender.serve import generate
from blender.serve.generate import Answer
from blender.serve.http import engine as engines
from blender.serve.http.engine import Engine, QueuedRequest
from blender.serve.http.metrics import ServerMetrics
from blender.serve.http.preparation import PreparedRequest
from blender.serve.http.request_errors import RequestError
from blender.serve.prefix_cache import PrefixCaches
from blender.serve.sampling import Sampling
from blender.serve.session import Session
from tests.serve.http.conftest import picture


class Caller:
    """A client that asks, and keeps the events of its answer."""

    def __init__(self, loaded, question="What is this?", images=(), tokens=12, client="a", seconds=60, **more):
        self.events, self.ended = [], threading.Event()
        self.question, sampling = question, Sampling(max_new_tokens=tokens, **more)
        prompt, _ = Session(loaded).prepare(question, tuple(images), sampling)
        prepared = PreparedRequest(prompt, sampling, (client, ""), stream=True, include_usage=False)
        self.request = QueuedRequest(prepared, self.receive, time.monotonic() + seconds)

    def receive(self, event):
        self.events.append((time.monotonic(), event))
        if not isinstance(event, str):
            self.ended.set()

    @property
    def text(self):
        return "".join(event for _, event in self.events if isinstance(event, str))

    def end(self):
        assert self.ended.wait(60)
        return self.events[-1][1]


@contextmanager
def working(loaded, callers=(), batch=8, kept=0):
    """Run an engine; these callers wait before it starts."""
    caches = PrefixCaches(kept) if isinstance(kept, int) else kept
    engine = Engine(loaded, caches, batch, ServerMetrics())
    for caller in callers:
        engine.submit(caller.request)
    engine.start()
    yield engine
    engine.close()


def test_answers_together_are_those_that_each_would_get_alone(loaded):
    asked = [("What is this?", [picture(1)]), ("Hello", []), ("And image 2?", [picture(2), picture(3)])]
    callers = [Caller(loaded, *one, client=str(n)) for n, one in enumerate(asked)]
    with working(loaded, callers):
        answers = [caller.end() for caller in callers]
    for (question, images), answer, caller in zip(asked, answers, callers, strict=True):
        alone = Session(loaded).ask(question, images, sampling=Sampling(max_new_tokens=12))
        assert (answer.text, answer.num_prompt_tokens) == (alone.text, alone.num_prompt_tokens)
        assert caller.text == answer.text


def test_a_batch_does_not_take_the_place_of_a_kept_conversation(loaded):
    caches = PrefixCaches(1)
    with working(loaded, [alone := Caller(loaded)], kept=caches):
        alone.end()
    kept = list(caches._kept)
    with working(loaded, callers := [Caller(loaded, client=name) for name in "ab"], kept=caches):
        [caller.end() for caller in callers]
    assert list(caches._kept) == kept != []


def test_a_short_answer_does_not_wait_for_a_long_one(loaded):
    short, long = Caller(loaded, tokens=2), Caller(loaded, tokens=300)
    with working(loaded, [short, long]):
        short.end(), long.end()
    when = [caller.events[-1][0] for caller in (short, long)]
    begun = long.events[0][0]
    assert when[0] - begun < (when[1] - begun) / 4


def test_who_lets_others_in_and_who_is_let_in_are_answered_as_alone(loaded):
    greedy = [Caller(loaded, f"What is {word}?", tokens=250) for word in ("this", "that")]
    modest = Caller(loaded, "And image 1?", [picture(1)], client="b")
    with working(loaded, greedy) as engine:
        while not greedy[0].events:
            time.sleep(0.01)
        engine.submit(modest.request)
        answer = modest.end()
        assert not any(caller.ended.is_set() for caller in greedy)
        answers = [caller.end() for caller in greedy]
    alone = Session(loaded).ask("And image 1?", [picture(1)], sampling=Sampling(max_new_tokens=12))
    assert answer.text == alone.text
    for caller, whole in zip(greedy, answers, strict=True):
        expected = Session(loaded).ask(caller.question, sampling=Sampling(max_new_tokens=250))
        assert (whole.text, whole.num_new_tokens) == (expected.text, expected.num_new_tokens) == (caller.text, 250)


def test_a_batch_of_several_users_is_not_interrupted(loaded):
    together = [Caller(loaded, client=name, tokens=60) for name in "ab"]
    late = Caller(loaded, client="c", tokens=2)
    with working(loaded, together) as engine:
        while not together[0].events:
            time.sleep(0.01)
        engine.submit(late.request)
        late.end()
        assert all(caller.ended.is_set() for caller in together)


def test_who_goes_is_not_answered_any_further(loaded):
    caller, other = Caller(loaded, tokens=1_500), Caller(loaded, tokens=40, client="b")
    with working(loaded, [caller]) as engine:
        while not caller.events:
            time.sleep(0.01)
        engine.withdraw(caller.request)
        answer = caller.end()
        engine.submit(other.request)
        assert isinstance(other.end(), Answer)
    assert answer.finish == "cancelled"
    assert answer.num_new_tokens < 1_500


def test_who_goes_while_waiting_is_never_asked(loaded):
    first, second, third = (Caller(loaded, client=name, tokens=60) for name in "abc")
    with working(loaded, [first, second, third], batch=1) as engine:
        engine.withdraw(second.request)
        first.end(), third.end()
        assert engine.num_waiting == 0
    assert second.events == []


def test_time_that_is_up_ends_an_answer_with_what_there_is(loaded):
    # warm, so that the time goes into tokens
    with working(loaded, [warm := Caller(loaded, tokens=2)]) as engine:
        warm.end()
        caller = Caller(loaded, tokens=1_900, seconds=0.7)
        engine.submit(caller.request)
        answer = caller.end()
    assert answer.finish == "cancelled"
    assert 0 < answer.num_new_tokens < 1_900


def test_time_that_is_up_before_the_turn_is_told(loaded):
    late = Caller(loaded, seconds=-1)
    with working(loaded, [late]):
        assert late.end().status == 503


def test_closing_stops_all_and_refuses_more(loaded):
    running, waiting = Caller(loaded, tokens=1_900), Caller(loaded, client="b")
    with working(loaded, [running, waiting], batch=1) as engine:
        while not running.events:
            time.sleep(0.01)
        engine.close()
        assert running.end().finish == "cancelled"
        assert waiting.end().code == "shutting_down"
        assert not engine.is_healthy
        with pytest.raises(RequestError, match="shutting down"):
            engine.submit(Caller(loaded).request)


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


@pytest.mark.parametrize("fault", [torch.OutOfMemoryError("too much"), RuntimeError("one of them is at fault")])
def test_what_fails_together_is_answered_one_by_one(loaded, monkeypatch, fault):
    broken(loaded, monkeypatch, fault, 1)
    callers = [Caller(loaded, client=name) for name in "ab"]
    with working(loaded, callers) as engine:
        assert all(isinstance(caller.end(), Answer) for caller in callers)
        assert engine.is_healthy


def test_without_memory_for_one_it_is_told(loaded, monkeypatch):
    broken(loaded, monkeypatch, torch.OutOfMemoryError("too much"), 2)
    caller = Caller(loaded)
    with working(loaded, [caller]) as engine:
        assert caller.end().code == "out_of_memory"
        assert engine.is_healthy


def test_a_model_that_always_fails_is_not_well(loaded, monkeypatch):
    broken(loaded, monkeypatch, RuntimeError("device-side assert"), 3)
    with working(loaded) as engine:
        for number in range(3):
            assert engine.is_healthy, number
            caller = Caller(loaded)
            engine.submit(caller.request)
            assert isinstance(caller.end(), RuntimeError)
        while engine.num_running:
            time.sleep(0.01)
        assert not engine.is_healthy
        recovered = Caller(loaded)
        engine.submit(recovered.request)
        assert isinstance(recovered.end(), Answer)
        assert engine.is_healthy


@pytest.fixture
def forwards(loaded, monkeypatch):
    """Compute prompts in pieces of 16 positions, long ones above 200; return the shapes of all forwards and a hook."""
    monkeypatch.setattr(generate, "_CHUNK", 16)
    monkeypatch.setattr(engines, "LONG_PROMPT", 200)
    shapes, hooks = [], {}
    whole = type(loaded.model).forward

    @functools.wraps(whole)
    def forward(self, input_ids, **options):
        shapes.append(tuple(input_ids.shape))
        if hook := hooks.pop(len(shapes), None):
            hook()
        return whole(self, input_ids, **options)

    monkeypatch.setattr(type(loaded.model), "forward", forward)
    return shapes, hooks


LONG = "word " * 300


@pytest.mark.parametrize("why", ["gone", "late"])
def test_a_long_prompt_stops_between_two_pieces_and_goes_on_from_there(loaded, forwards, why):
    shapes, hooks = forwards
    first, second = Caller(loaded, LONG, tokens=2), Caller(loaded, LONG, tokens=2)
    hooks[3] = first.request.gone.set if why == "gone" else lambda: setattr(first.request, "deadline", 0.0)
    with working(loaded, [first], kept=1) as engine:
        assert first.end().code == "timeout"
        assert shapes == [(1, 16)] * 3
        engine.submit(second.request)
        answer = second.end()
    assert answer.num_cached_tokens == 48
    assert answer.text == Session(loaded).ask(LONG, sampling=Sampling(max_new_tokens=2)).text


def test_others_are_answered_between_two_pieces_of_a_long_prompt(loaded, forwards):
    shapes, hooks = forwards
    long = Caller(loaded, LONG, tokens=2)
    # a second long one waits until the first is over, whoever asks it
    others = [Caller(loaded, client=name, tokens=2) for name in "aab"]
    late = Caller(loaded, LONG, client="c", tokens=2)
    with working(loaded, [long]) as engine:
        hooks[3] = lambda: [engine.submit(caller.request) for caller in (late, *others)]
        assert isinstance(long.end(), Answer)
        assert all(caller.ended.is_set() for caller in others)
        assert not late.events
        assert isinstance(late.end(), Answer)
    assert long.text == late.text == Session(loaded).ask(LONG, sampling=Sampling(max_new_tokens=2)).text
    assert others[0].text == Session(loaded).ask("What is this?", sampling=Sampling(max_new_tokens=2)).text


def test_a_long_prompt_is_never_answered_together_with_others(loaded, forwards):
    shapes, _ = forwards
    callers = [Caller(loaded, LONG if name in "bd" else "Hello", client=name, tokens=2) for name in "abcde"]
    with working(loaded, callers):
        assert all(isinstance(caller.end(), Answer) for caller in callers)
    assert max(rows for rows, _ in shapes) == 3
    assert sum(length for rows, length in shapes if rows > 1) < 200
