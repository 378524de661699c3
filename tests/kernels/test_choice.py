"""Which implementation runs, who says so, and what is said where it cannot be had."""

import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from throughtime.core import ConfigError
from throughtime.kernels import Library, choice, kernels, library, native_here
from throughtime.kernels import library as library_of
from throughtime.memory import KernelWarning, make_memory

compiled = pytest.mark.skipif(library().instruction_set is None, reason=library().reason)


def is_native(memory="gru", **options):
    layer = make_memory(memory, 2, 3, key=jax.random.key(0), **options)
    program = jax.make_jaxpr(lambda m, x: m.unroll(m.initial_state(2), x, jnp.zeros((4, 2), bool)))(
        layer, jnp.ones((4, 2, 2))
    )
    return "throughtime_forward" in str(program)


@compiled
def test_native_is_the_default_and_the_environment_and_the_context_choose(monkeypatch):
    monkeypatch.delenv("THROUGHTIME_KERNELS", raising=False)
    assert is_native()
    monkeypatch.setenv("THROUGHTIME_KERNELS", "xla")
    assert not is_native()
    with kernels("native"):
        assert is_native()
        with kernels("xla"):
            assert not is_native()
    assert native_here() == (False, "xla: chosen")


def test_a_typo_is_told_with_a_suggestion(monkeypatch):
    with pytest.raises(ConfigError, match="'nativ'") as error, kernels("nativ"):
        pass
    assert "native" in str(error.value)
    monkeypatch.setenv("THROUGHTIME_KERNELS", "XLA")
    with pytest.raises(ConfigError, match="THROUGHTIME_KERNELS"):
        native_here()


def test_without_compiled_kernels_auto_goes_on_and_native_is_refused(monkeypatch):
    monkeypatch.setattr(choice, "library", lambda: Library(None, "not compiled: no C++ compiler"))
    with kernels("auto"):
        assert native_here() == (False, "xla: not compiled: no C++ compiler")
        assert not is_native()
    with kernels("native"), pytest.raises(ConfigError, match="no C\\+\\+ compiler"):
        is_native()


def test_a_library_that_does_not_load_is_no_traceback(monkeypatch, tmp_path):
    module = sys.modules["throughtime.kernels.library"]
    (tmp_path / f"_native{module.EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "library.py"))
    found = library_of.__wrapped__()
    assert found.instruction_set is None
    assert "does not load" in found.reason


@compiled
def test_what_the_kernels_do_not_take_falls_back_with_a_warning():
    with kernels("auto"), pytest.warns(KernelWarning, match="Elman's options"):
        assert not is_native("elman", f="softplus")
    with kernels("native"), pytest.raises(ConfigError, match="Elman's options"):
        is_native("elman", f="softplus")
    layer = make_memory("gru", 2, 3, dtype=jnp.float16, key=jax.random.key(0))
    with kernels("auto"), pytest.warns(KernelWarning, match="float16"):
        layer.unroll(layer.initial_state(1), jnp.ones((4, 1, 2), jnp.float16), jnp.zeros((4, 1), bool))


@compiled
@pytest.mark.parametrize("name", ["portable", "avx2"])
def test_another_instruction_set_can_be_named(name):
    code = "from throughtime.kernels import library; print(library().instruction_set)"
    run = subprocess.run([sys.executable, "-c", code], env={"THROUGHTIME_ISA": name}, capture_output=True, text=True)
    assert run.stdout.strip() in (name, "portable")


def test_info_says_which_implementation_runs_and_why():
    run = subprocess.run([sys.executable, "-m", "throughtime", "info", "--json"], capture_output=True, text=True)
    assert json.loads(run.stdout)["kernels"].startswith(("native: ", "xla: "))
