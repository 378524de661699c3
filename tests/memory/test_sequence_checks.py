"""What does not fit is refused before anything is compiled, with what was expected and what came.

The functions are called without the shape checks that the other tests switch on, as users call them.
"""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp
from throughtime.core import ConfigError
from throughtime.memory import MEMORIES, make_memory

T, B, I = 5, 2, 3
xs, resets = jnp.ones((T, B, I)), jnp.zeros((T, B), bool)
messages = {}
for name in MEMORIES:
    m = make_memory(name, I, 4, key=jax.random.key(0))
    s = m.initial_state(B)
    calls = {
        "rank": lambda: m.unroll(s, xs[:, 0], resets),
        "width": lambda: m.unroll(s, jnp.ones((T, B, I + 1)), resets),
        "whole numbers": lambda: m.unroll(s, xs.astype(int), resets),
        "resets of another shape": lambda: m.unroll(s, xs, resets.T),
        "resets of numbers": lambda: m.unroll(s, xs, resets.astype(jnp.float32)),
        "a list": lambda: m.unroll(s, xs.tolist(), resets),
        "step of a sequence": lambda: m.step(s, xs),
    }
    if jax.tree.leaves(s):
        calls["state"] = lambda: m.unroll(m.initial_state(B + 1), xs, resets)
        calls["state of a step"] = lambda: m.step(m.initial_state(B + 1), xs[0])
        calls["taps"] = lambda: m.unroll(s, xs, resets, s)
    for what, call in calls.items():
        try:
            call()
            messages[f"{name}: {what}"] = "accepted"
        except ConfigError as error:
            messages[f"{name}: {what}"] = str(error)
        except Exception as error:
            messages[f"{name}: {what}"] = f"{type(error).__name__}, which is no message for people"
json.dump(messages, sys.stdout)
"""


@pytest.fixture(scope="module")
def messages():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_every_memory_says_what_it_expected(messages):
    assert not {what: said for what, said in messages.items() if "expected" not in said}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("gru: width", "xs is float32[5, 2, 4]; expected [T, B, 3]"),
        ("gru: resets of another shape", "resets is bool[2, 5]; expected bool[5, 2]"),
        ("lru: whole numbers", "xs.astype(jnp.float32)"),
        ("lstm: state", "A leaf of state is float32[3, 4]; expected [2, ...]"),
        ("tdnn: a list", "xs is a list"),
    ],
)
def test_the_message_names_both(messages, call, words):
    assert words in messages[call]
