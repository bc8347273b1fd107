"""Admissions among those who wait, and turns."""

import asyncio
from collections import Counter
from contextlib import ExitStack, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blender.serve.http.admission import Admissions, Gate
from blender.serve.http.guard import client_of
from blender.serve.http.request_errors import RequestError
from blender.serve.http.settings import ServerSettings
from tests import coroutines

COMERS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), max_size=40)


def held_after(comers, most):
    """Let everybody come, in order; return who holds places at the end."""

    async def come():
        places, taken = Admissions(most, lambda: 1), []
        with ExitStack() as stack:
            for who in comers:
                with suppress(RequestError):
                    taken.append(stack.enter_context(places.take(who)))
            held = [place.who for place in taken if not place.displaced.done()]
            assert len(held) == len(places) <= most
        assert len(places) == 0
        return held

    return coroutines.run(come())


@settings(max_examples=40)
@given(COMERS, st.integers(1, 12))
def test_places_are_shared_evenly_among_those_who_want_them(comers, most):
    held = held_after(comers, most)
    assert len(held) == min(most, len(comers))
    wanted, clients = Counter(client for client, _ in comers), Counter(client for client, _ in held)
    for client, count in wanted.items():
        # who has fewer than another one wanted no more, up to one
        assert clients[client] >= min(count, max(clients.values(), default=0) - 1)
    users = Counter(held)
    for who, count in Counter(comers).items():
        rivals = [users[other] for other in users if other[0] == who[0]]
        assert users[who] >= min(count, max(rivals, default=0) - 1)


def test_one_client_may_have_all_places_while_nobody_else_comes():
    assert held_after([("a", "")] * 10, 4) == [("a", "")] * 4


def test_naming_a_hundred_users_brings_no_more_than_naming_none():
    held = Counter(client for client, _ in held_after([("a", str(n)) for n in range(100)] + [("b", "")] * 100, 8))
    assert held == {"a": 4, "b": 4}


def test_what_has_begun_is_displaced_by_nobody():
    async def come():
        places = Admissions(2, lambda: 7)
        with ExitStack() as stack:
            for place in [stack.enter_context(places.take(("a", ""))) for _ in range(2)]:
                place.has_begun = lambda: True
            with pytest.raises(RequestError, match="try again in 7 s"), places.take(("b", "")):
                pass

    coroutines.run(come())


def test_turns_are_fair_and_never_more_than_allowed():
    async def come():
        gate, order, inside = Gate(2), [], [0, 0]

        async def work(client):
            async with gate.turn((client, "")):
                inside[0] += 1
                inside[1] = max(inside)
                order.append(client)
                await asyncio.sleep(0.001)
                inside[0] -= 1

        await asyncio.gather(*(work(client) for client in "a" * 20 + "b"))
        return order, inside

    order, inside = coroutines.run(come())
    assert order.index("b") <= 2
    assert inside == [0, 2]


def test_a_client_alone_leaves_one_turn_to_others():
    async def come():
        gate, both = Gate(3), asyncio.Event()

        async def hang():
            async with gate.turn(("greedy", "")):
                await both.wait()

        tasks = [asyncio.ensure_future(hang()) for _ in range(10)]
        await asyncio.sleep(0.01)
        async with asyncio.timeout(5), gate.turn(("modest", "")):
            pass
        for task in tasks[:9]:
            task.cancel()
        both.set()
        await tasks[9]

    coroutines.run(come())


class Asking:
    """The part of a request that says where it comes from."""

    def __init__(self, host, **headers):
        self.client = type("Client", (), {"host": host})
        self.headers = headers


def test_a_client_is_its_address_or_its_key_where_there_are_several():
    one, two = (Asking("10.0.0.1", authorization=f"Bearer {key}") for key in ("a", "b"))
    assert client_of(one, ServerSettings(api_key="a")) == client_of(two, ServerSettings()) == "10.0.0.1"
    assert client_of(one, ServerSettings(api_key=("a", "b"))) != client_of(two, ServerSettings(api_key=("a", "b")))
    neighbours = [
        client_of(Asking(host), ServerSettings()) for host in ("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:1::1")
    ]
    assert neighbours[0] == neighbours[1] != neighbours[2]
    assert client_of(Asking("::ffff:10.0.0.1"), ServerSettings()) == "10.0.0.1"
