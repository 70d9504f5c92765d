from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.errors import InvalidFeature
from tenants.people.update_tenant import (
    apply_feature_changes,
    flatten_features,
    parse_feature,
    validate_feature_key,
)

names = st.text("abc", min_size=1, max_size=2)
keys = st.lists(names, min_size=1, max_size=3).map(".".join)
leaves: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(0, 3) | st.builds(dict) | st.builds(list)
)
objects = st.recursive(leaves, lambda inner: st.dictionaries(names, inner), max_leaves=6)
features = st.dictionaries(names, objects, max_size=3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=true", ("a", True)),
        ("search.semantic=false", ("search.semantic", False)),
        ("a=1=2", None),
        ('a="x=y"', ("a", "x=y")),
        ("größe=-1.5e3", ("größe", -1500.0)),
        ('a={"b": [null]}', ("a", {"b": [None]})),
    ],
)
def test_success_read(text: str, expected: tuple[str, Any] | None) -> None:
    if expected is None:
        with pytest.raises(InvalidFeature):
            parse_feature(text)
    else:
        assert parse_feature(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "Feature without a value: 'a'."),
        ("a=", "Feature a: the value is not valid JSON: ''."),
        ("a=yes", "Feature a: the value is not valid JSON: 'yes'."),
        ("a=" + "[" * 100_000, f"Feature a: the value is not valid JSON: {'[' * 100!r}."),
        ("a=NaN", "Feature a: the value can't be stored."),
        ("a=1e999", "Feature a: the value can't be stored."),
        ("a=9223372036854775808", "Feature a: the value can't be stored."),
        ('a="\\u0000"', "Feature a: the value can't be stored."),
        ('a={"\\ud800": 1}', "Feature a: the value can't be stored."),
        ("=1", "Invalid feature key: ''."),
        ("a..b=1", "Invalid feature key: 'a..b'."),
        ("a\n=1", "Invalid feature key: 'a\\n'."),
    ],
)
def test_fail_not_readable(text: str, message: str) -> None:
    with pytest.raises(InvalidFeature) as caught:
        parse_feature(text)
    assert caught.value.message == message


def test_fail_key_is_too_long() -> None:
    validate_feature_key("a" * 200)
    with pytest.raises(InvalidFeature):
        validate_feature_key("a" * 201)


def test_success_removals_come_first() -> None:
    before = {"a": True, "b": {"c": {"d": 1}, "e": 2}}
    after = apply_feature_changes(before, [("a.x", 1)], ["a", "b.c.d", "b.zzz", "e.f", "b.e.g"])
    assert after == {"a": {"x": 1}, "b": {"e": 2}}
    assert before == {"a": True, "b": {"c": {"d": 1}, "e": 2}}


def test_fail_key_below_a_value_that_is_not_an_object() -> None:
    with pytest.raises(InvalidFeature) as caught:
        apply_feature_changes({"a": {"b": True}}, [("a.b.c", 1)], [])
    assert caught.value.message == "Feature a.b.c can't be set: a.b is true, not an object."
    assert caught.value.fix == "Add --remove-feature a.b to replace that value."


@given(features, keys, leaves)
def test_success_set_keys_exist_and_removed_keys_do_not(
    before: dict[str, Any], key: str, value: Any
) -> None:
    removed = apply_feature_changes(before, [], [key])
    try:
        after = apply_feature_changes(removed, [(key, value)], [])
    except InvalidFeature:
        return  # a parent isn't an object
    assert flatten_features(after)[key] == value
    others = {name for name in flatten_features(before) if not f"{name}.".startswith(f"{key}.")}
    assert others - {name for name in others if key.startswith(f"{name}.")} <= set(
        flatten_features(after)
    )
    assert apply_feature_changes(after, [(key, value)], []) == after
