"""IDs, placements and slices of the membership index."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scaiwave.sandbox.data.ids import MASK, Ids, scramble, unscramble
from scaiwave.sandbox.data.names import build_partner_name, build_tenant_name
from scaiwave.sandbox.data.roster import IndexRange, MemberSequence


@given(value=st.integers(0, MASK))
def test_success_mixing_is_reversible(value: int) -> None:
    assert unscramble(scramble(value)) == value


@given(index=st.integers(0, MASK), seed=st.integers())
def test_success_ids_are_reversible(index: int, seed: int) -> None:
    ids = Ids(prefix="usr", seed=seed)
    assert ids.decode(ids.encode(index)) == index


def test_fail_foreign_ids() -> None:
    ids = Ids(prefix="usr", seed=1)
    for text in ("", "usr_", "grp_0123456789abcdef", "usr_0123456789abcde", "usr_0123456789abcdeg"):
        assert ids.decode(text) is None


@given(key=st.integers(0, 2**32), block=st.integers(2, 50), size=st.integers(0, 500))
def test_success_ranks_are_reversible(key: int, block: int, size: int) -> None:
    range_ = IndexRange("tnt", 0, size, key, block)
    kinds = [range_.is_odd(position) for position in range(size)]
    assert range_.count_odd_before(size) == sum(kinds)
    for kind in (True, False):
        positions = [position for position in range(size) if kinds[position] is kind]
        assert [range_.get_ordinal(position) for position in positions] == list(
            range(len(positions))
        )
        assert [range_.get_position(n, odd=kind) for n in range(len(positions))] == positions


@given(
    base=st.integers(0, 80),
    removed=st.sets(st.integers(0, 79)),
    added=st.lists(st.integers(1000, 2000)),
    offset=st.integers(0, 100),
    limit=st.integers(0, 100),
)
def test_success_slices(
    base: int, removed: set[int], added: list[int], offset: int, limit: int
) -> None:
    sequence = MemberSequence(base)
    for ordinal in removed:
        if ordinal < base:
            sequence.remove(ordinal)
    sequence.added = added
    whole = [n for n in range(base) if n not in removed] + added

    ordinals, newcomers = sequence.get_slice(offset, limit)

    assert len(sequence) == len(whole)
    assert ordinals + newcomers == whole[offset : offset + limit]


def test_success_slugs_are_distinct() -> None:
    for make in (build_tenant_name, build_partner_name):
        assert len({make(position)[1] for position in range(500)}) == 500
