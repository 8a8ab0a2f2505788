"""Spaces of persons: names that are safe, and different for different persons and groups."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from htmlgraph_server.access.identity import DEFAULT_SPACE
from htmlgraph_server.access.person_space import person_space
from htmlgraph_server.access.token_table import check_space


@pytest.mark.parametrize(
    ("name", "groups", "space"),
    [
        ("ada", [], "user-ada"),
        ("ada", [""], "user-ada"),
        ("ada", ["team-b", "team-a"], "team-a"),
    ],
)
def test_person_space_is_that_of_the_first_group(name: str, groups: list[str], space: str) -> None:
    """Or an own one."""
    assert person_space(name, groups) == space


@pytest.mark.parametrize(
    "group", [DEFAULT_SPACE, "user-ada", "service-x", "Team", "a/b", "..", "ß"]
)
def test_person_space_of_a_group_is_no_reserved_space(group: str) -> None:
    """Neither the owner's nor a person's, and no path."""
    space = check_space(person_space("bob", [group]))
    assert space not in (DEFAULT_SPACE, person_space("ada", []), person_space("x", [], "service"))


names = st.text(min_size=1, max_size=80) | st.sampled_from(
    ["A", "a", "user-a", "default", "group-a", "a-x0123456789abcdef"]
)


@given(names, names, st.booleans(), st.booleans())
def test_person_space_differs_for_different_names(
    one: str, other: str, one_is_group: bool, other_is_group: bool
) -> None:
    """Of persons and of groups; each is valid as the name of a file."""
    spaces = [
        check_space(person_space("x", [name]) if is_group else person_space(name, []))
        for name, is_group in ((one, one_is_group), (other, other_is_group))
    ]
    assert (spaces[0] == spaces[1]) == ((one, one_is_group) == (other, other_is_group))
