from hypothesis import given
from hypothesis import strategies as st

from blender.serve.http.fair_queue import FairQueue

ROWS = st.lists(st.sampled_from("abcd"), max_size=40)
MOST = st.integers(1, 5)


def filled(clients):
    queue = FairQueue()
    for number, client in enumerate(clients):
        queue.put((client, ""), (client, number))
    return queue


def taken_from(queue, most):
    taken = []
    while len(queue):
        taken += queue.take(most)
    return taken


@given(ROWS, MOST)
def test_everything_comes_once_and_a_client_keeps_its_order(clients, most):
    queue = filled(clients)
    assert len(queue) == len(clients)
    taken = taken_from(queue, most)
    assert sorted(number for _, number in taken) == list(range(len(clients)))
    for client in "abcd":
        own = [number for one, number in taken if one == client]
        assert own == sorted(own)


@given(ROWS, MOST)
def test_nobody_is_served_twice_while_another_one_waits_for_a_first_time(clients, most):
    taken = [client for client, _ in taken_from(filled(clients), most)]
    for turn in range(clients.count(max(clients, key=clients.count)) if clients else 0):
        still = {client for client in set(clients) if clients.count(client) > turn}
        reached = [[place for place, one in enumerate(taken) if one == client][turn] for client in still]
        after = [
            [place for place, one in enumerate(taken) if one == client][turn + 1]
            for client in still
            if clients.count(client) > turn + 1
        ]
        assert not after or max(reached) < min(after)


@given(ROWS, st.data())
def test_what_is_discarded_is_gone_and_nothing_else_is(clients, data):
    queue = filled(clients)
    items = [(client, number) for number, client in enumerate(clients)]
    gone = data.draw(st.lists(st.sampled_from(items), unique=True)) if items else []
    assert all(queue.discard((item[0], ""), item) for item in gone)
    assert not any(queue.discard((item[0], ""), item) for item in gone)
    assert sorted(taken_from(queue, 3)) == sorted(set(items) - set(gone))


def test_a_newcomer_waits_for_one_turn_of_who_asked_a_hundred_times():
    queue = filled("a" * 100)
    queue.take(1)
    queue.put(("b", ""), "new")
    assert "new" in queue.take(2)


@given(ROWS, MOST)
def test_who_is_passed_over_keeps_its_turn(clients, most):
    queue = filled(clients)
    passed = [item for item in queue.take(len(clients), where=lambda item: item[1] % 2 == 0)]
    left = [number for client, number in taken_from(queue, most)]
    assert all(number % 2 == 0 for _, number in passed)
    # a user's requests keep their order, so an odd one holds back those behind it
    expected = [client_numbers(clients, client) for client in sorted(set(clients))]
    even_first = sum(next((n for n, number in enumerate(own) if number % 2), len(own)) for own in expected)
    assert len(passed) == even_first
    assert sorted([*left, *(number for _, number in passed)]) == list(range(len(clients)))


def client_numbers(clients, client):
    return [number for number, other in enumerate(clients) if other == client]
