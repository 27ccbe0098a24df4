"""stores/format/fingerprint.py: equal configurations have one fingerprint, and a difference is named."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auglift.stores.format.fingerprint import canonical_json, describe_difference, differing_keys, fingerprint

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
configurations = st.dictionaries(st.text(max_size=6), plain, max_size=5)


@given(configurations)
def test_canonical_json_says_the_same_and_does_not_depend_on_the_order_of_keys(configuration):
    assert json.loads(canonical_json(configuration)) == configuration
    backwards = dict(reversed(list(configuration.items())))
    assert canonical_json(backwards) == canonical_json(configuration)
    assert fingerprint(backwards) == fingerprint(configuration)


def test_the_fingerprint_is_a_sha256_that_anybody_can_compute():
    text = '{"a":[1,2.5,null],"b":"ä"}'
    assert canonical_json({"b": "ä", "a": [1, 2.5, None]}) == text
    assert fingerprint({"b": "ä", "a": [1, 2.5, None]}) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": value})


@given(configurations, configurations)
def test_there_is_a_differing_key_exactly_where_configurations_differ(ours, theirs):
    assert bool(list(differing_keys(ours, theirs))) == (fingerprint(ours) != fingerprint(theirs))


def test_a_difference_is_named_with_its_path_and_both_values():
    ours = {"batch": 8, "depth": {"name": "large", "side": 518}, "same": 1}
    theirs = {"batch": 8, "depth": {"name": "small", "side": 518}, "same": 1, "fps": 25}
    text = describe_difference(ours, theirs)
    assert "depth.name" in text
    assert '"large" here, "small" in the store' in text
    assert "fps: null here, 25 in the store" in text
    assert "batch" not in text
    assert "same" not in text


def test_many_differences_stay_one_short_line():
    text = describe_difference({str(i): i for i in range(100)}, {str(i): "x" * 1000 for i in range(100)})
    assert "and 94 more" in text
    assert len(text) < 600
