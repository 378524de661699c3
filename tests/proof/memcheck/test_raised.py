"""The place that memcheck names is the line in the user's own code."""

import pytest

from throughtime.proof.memcheck._raised import place_of


def mine():
    raise ValueError("no")


def test_the_innermost_frame_is_named():
    with pytest.raises(ValueError, match="no") as caught:
        mine()
    assert place_of(caught.value) == "test_raised.py:9"


def test_an_error_that_was_never_raised_has_no_place():
    assert place_of(ValueError()) == "an unknown place"


def test_installed_packages_are_passed_over():
    namespace = {}
    exec(compile("def inside():\n    raise KeyError('k')", "/x/site-packages/lib.py", "exec"), namespace)
    with pytest.raises(KeyError) as caught:
        namespace["inside"]()
    assert place_of(caught.value).startswith("test_raised.py:")
