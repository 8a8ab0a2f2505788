"""Identity: which rights suffice for which routes."""

from __future__ import annotations

import pytest

from htmlgraph_server.access.identity import Identity, Need, Right


@pytest.mark.parametrize(
    ("right", "allowed"),
    [
        (Right.READ, {Need.NOTHING, Need.IDENTITY, Need.READ}),
        (Right.WRITE, {Need.NOTHING, Need.IDENTITY, Need.WRITE}),
        (Right.ADMIN, set(Need)),
    ],
)
def test_identity_allows_what_its_right_names(right: Right, allowed: set[Need]) -> None:
    """Neither of reading and reporting includes the other."""
    identity = Identity(right=right)
    assert {need for need in Need if identity.allows(need)} == allowed
    assert identity.reads == (right is not Right.WRITE)


def test_need_writes_if_data_may_change() -> None:
    """So that the Origin counts, and Jupyter is asked for "write"."""
    assert {need for need in Need if need.writes} == {Need.WRITE, Need.ADMIN}
