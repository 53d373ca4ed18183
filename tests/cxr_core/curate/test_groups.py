from hypothesis import given
from hypothesis import strategies as st

from cxr_core.curate.groups import Forest, components, group_names, same_value_edges

PATIENTS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=14)


@st.composite
def linked_patients(draw):
    patients = draw(PATIENTS)
    row = st.integers(0, len(patients) - 1)
    return patients, draw(st.lists(st.tuples(row, row), max_size=10))


def reachable(patients, pairs):
    """Group of each row by walking, not by any library."""
    linked = {
        (i, j)
        for i in range(len(patients))
        for j in range(len(patients))
        if patients[i] == patients[j] or (i, j) in pairs or (j, i) in pairs
    }
    groups = []
    for start in range(len(patients)):
        seen, front = {start}, [start]
        while front:
            here = front.pop()
            new = {j for i, j in linked if i == here} - seen
            seen |= new
            front += new
        groups.append(seen)
    return groups


@given(linked_patients())
def test_a_group_is_what_patients_and_duplicates_reach_and_is_named_by_its_smallest_patient(case):
    patients, pairs = case
    expected = [min(patients[i] for i in members) for members in reachable(patients, pairs)]
    assert group_names(patients, pairs) == expected


@given(linked_patients(), st.randoms(use_true_random=False))
def test_groups_do_not_depend_on_the_order_of_rows(case, random):
    patients, pairs = case
    order = list(range(len(patients)))
    random.shuffle(order)
    place = {old: new for new, old in enumerate(order)}
    shuffled = group_names([patients[old] for old in order], [(place[i], place[j]) for i, j in pairs])
    assert [shuffled[place[row]] for row in range(len(patients))] == group_names(patients, pairs)


def test_no_rows_have_no_groups():
    assert group_names([], []) == []
    assert components(0, []).tolist() == []


@given(st.integers(1, 20).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_a_forest_knows_at_every_moment_what_is_joined(case):
    n, edges = case
    forest, done = Forest(n), []
    for one, other in edges:
        before = components(n, done)
        assert forest.join(one, other) == (before[one] != before[other])
        done.append((one, other))
        reached = reachable(list(range(n)), done)
        assert [{j for j in range(n) if forest.labels[j] == forest.labels[i]} for i in range(n)] == reached


def test_many_rows_of_one_value_are_joined_by_as_many_edges_as_rows():
    assert same_value_edges(["a", "b", "a", "a"]) == [(0, 2), (0, 3)]
