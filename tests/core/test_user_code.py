"""Code that the user names: found or told apart from what is missing, and its errors have a place."""

import sys

import pytest

from throughtime.core import ConfigError
from throughtime.core.user_code import load_module, place_of


def mine():
    raise ValueError("no")


def test_the_innermost_frame_is_named():
    with pytest.raises(ValueError, match="no") as caught:
        mine()
    assert place_of(caught.value) == "test_user_code.py:12"


def test_an_error_that_was_never_raised_has_no_place():
    assert place_of(ValueError()) == "an unknown place"


def test_installed_packages_are_passed_over():
    namespace = {}
    exec(compile("def inside():\n    raise KeyError('k')", "/x/site-packages/lib.py", "exec"), namespace)
    with pytest.raises(KeyError) as caught:
        namespace["inside"]()
    assert place_of(caught.value).startswith("test_user_code.py:")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "sibling_of_mine.py").write_text("value = 3\n")
    (tmp_path / "good.py").write_text("import sibling_of_mine\nvalue = sibling_of_mine.value\nruns = [1]\n")
    (tmp_path / "bad.py").write_text("x = 1\nraise ValueError('no')\n")
    (tmp_path / "needs.py").write_text("import not_installed_anywhere\n")
    return tmp_path


def test_a_file_finds_its_siblings_and_runs_once(folder):
    module = load_module("good.py")
    assert module.value == 3
    assert load_module(str(folder / "good.py")) is module


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("goood.py", "Did you mean 'good.py'?"),
        ("bad.py", r"ValueError: no \(bad.py:2\)"),
        ("bad", r"ValueError: no \(bad.py:2\)"),
        ("no_such_module", "There is no module 'no_such_module'"),
        ("needs", "Install not_installed_anywhere"),
    ],
)
def test_what_cannot_be_loaded_is_told(folder, where, says):
    with pytest.raises(ConfigError, match=says):
        load_module(where)
