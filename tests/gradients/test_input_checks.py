"""Arrays that do not fit each other are refused by every form of BPTT, with what was expected and what came.

Called without the shape checks that the other tests switch on, as users call them.
"""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, sys
import jax, jax.numpy as jnp
from throughtime import gradients as g
from throughtime.core import ConfigError
from throughtime.memory import make_memory

T, B, I = 6, 2, 3
m = make_memory("gru", I, 4, key=jax.random.key(0))
given = {"state": m.initial_state(B), "xs": jnp.ones((T, B, I)), "resets": jnp.zeros((T, B), bool)}
targets = jnp.zeros((T, B, 4))
square = lambda y, target: jnp.sum(jnp.square(y - target))

forms = {
    "truncated": lambda a, t: g.unroll_truncated(m, **a, k1=2),
    "checkpointed": lambda a, t: g.unroll_checkpointed(m, **a, segment=2),
    "checkpointed loss": lambda a, t: g.checkpointed_loss(m, **a, loss=square, targets=t, segment=2),
    "rtrl": lambda a, t: g.rtrl_gradient(m, **a, loss=square, targets=t),
    "unfolded": lambda a, t: g.unfold(m, T)(**a),
    "flow": lambda a, t: g.measure_flow(m, **a, d_ys=t),
}
wrong = {
    "rank": {"xs": given["xs"][:, 0]},
    "width": {"xs": jnp.ones((T, B, I + 1))},
    "whole numbers": {"xs": given["xs"].astype(int)},
    "fewer resets": {"resets": given["resets"][:3]},
    "resets of numbers": {"resets": given["resets"].astype(jnp.float32)},
    "state of other rows": {"state": m.initial_state(B + 1)},
}
calls = {f"{name}: {what}": (form, given | change, targets)
         for name, form in forms.items() for what, change in wrong.items()}
for name in ("checkpointed loss", "rtrl"):
    calls[f"{name}: fewer targets"] = forms[name], given, targets[:3]
messages = {}
for what, (form, arrays, t) in calls.items():
    try:
        form(arrays, t)
        messages[what] = "accepted"
    except ConfigError as error:
        messages[what] = str(error).replace("takes inputs", "expected inputs")  # the microscope's words
    except Exception as error:
        messages[what] = f"{type(error).__name__}, which is no message for people"
json.dump(messages, sys.stdout)
"""


@pytest.fixture(scope="module")
def messages():
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


def test_every_form_says_what_it_expected(messages):
    assert len(messages) == 6 * 6 + 2
    assert not {what: said for what, said in messages.items() if "expected" not in said}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("truncated: fewer resets", "resets is bool[3, 2]; expected bool[6, 2]"),
        ("rtrl: fewer targets", "An array of targets is float32[3, 2, 4]; expected [6, ...]."),
    ],
)
def test_what_came_is_named(messages, call, words):
    assert words in messages[call]
