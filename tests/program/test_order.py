"""Execution order: components are loops or single nodes, and no component comes before its sources."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from neuroprivacy.program import run_order

NAMES = [f"n{i}" for i in range(6)]
PAIRS = st.lists(st.tuples(st.sampled_from(["in", *NAMES]), st.sampled_from(NAMES)), max_size=12)


@given(PAIRS)
def test_components_are_ordered_and_are_those_of_mutual_reachability(pairs: list[tuple[str, str]]) -> None:
    ordered = run_order(NAMES, pairs)
    place = {name: i for i, (members, _) in enumerate(ordered) for name in members}
    assert sorted(place) == sorted(NAMES)
    assert all(place[a] <= place[b] for a, b in pairs if a in place)
    reached = {(a, b) for a, b in pairs if a in place}
    for _ in NAMES:
        reached |= {(a, d) for (a, b), (c, d) in itertools.product(reached, reached) if b == c}
    for a, b in itertools.combinations(NAMES, 2):
        assert (place[a] == place[b]) == ((a, b) in reached and (b, a) in reached)
    for members, loop in ordered:
        assert loop == ((members[0], members[0]) in reached)
        assert list(members) == sorted(members)


def test_nodes_that_no_connection_orders_keep_the_order_of_their_names() -> None:
    assert run_order(["b", "a", "c"], [("in", "a"), ("c", "b")]) == ((("a",), False), (("c",), False), (("b",), False))
    assert run_order(["b", "a"], []) == ((("b",), False), (("a",), False))
