"""`throughtime check`, `tt.memcheck` and `pytest --memcheck`."""

import json
import subprocess
import sys

import pytest
from memcheck_faults import NeverReset, make
from memcheck_policies import GRU

import throughtime as tt
from throughtime.cli import main
from throughtime.proof.memcheck import LAWS, POLICY_LAWS

AGENT = """
import numpy as np

class Policy:
    observation_shape = (3,)
    keep = True

    def initial_state(self, batch):
        return np.zeros((batch, 3), np.float32)

    def step(self, state, obs, reset):
        state = np.where(reset[:, None] & self.keep, np.float32(0), state)
        state = np.tanh(state + obs)
        return state, state.sum(axis=1)

    def sequence(self, state, obs, resets):
        outs = []
        for x, reset in zip(obs, resets):
            state, out = self.step(state, x, reset)
            outs.append(out)
        return state, np.stack(outs)

class Wrong(Policy):
    keep = False

def chatty():
    print("hello from the user's code")
    return Policy()

def fails():
    return undefined_name

policy, number = Policy(), 3
"""


@pytest.fixture
def agent(tmp_path, monkeypatch):
    (tmp_path / "my_agent.py").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("my_agent", None)


@pytest.mark.parametrize("target", ["my_agent:policy", "my_agent:Policy", "my_agent.py:chatty"])
def test_an_instance_a_class_a_function_and_a_file(agent, capsys, target):
    assert main(["check", target, "--json"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)  # nothing else on stdout, whatever the user's code prints
    assert result["passed"]
    assert (result["held"], result["broken"], result["not_checked"]) == (25, 0, 1)
    assert [finding["law"] for finding in result["groups"]["policy"]] == [law.id for law in POLICY_LAWS]
    assert "policy/reset-acts" in captured.err


def test_a_broken_law_is_explained_and_the_status_is_1(agent, capsys):
    assert main(["check", "my_agent:Wrong"]) == 1
    out = " ".join(capsys.readouterr().out.split())
    law = next(law for law in POLICY_LAWS if law.id == "policy/reset-acts")
    assert "where step, step 6, row 0; also sequence, step 6, row 0" in out
    for word in (*law.explanation.split()[:4], *law.usual_cause.split()[:4], "1 broken"):
        assert word in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "MODULE:NAME"),
        (["my_agent"], "names no object"),
        (["my_agent:polcy"], "Did you mean 'Policy'?"),
        (["my_agent:number"], "no policy that memcheck knows"),
        (["no_such_module:x"], "ModuleNotFoundError"),
        (["nowhere.py:x"], "There is no file"),
        (["my_agent:fails"], "undefined_name"),
        (["my_agent:policy", "--time", "5"], "no sizes"),
    ],
)
def test_usage_errors_have_status_2_and_no_traceback(agent, capsys, words, says):
    assert main(["check", *words]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert "Traceback" not in err


def test_all_laws_are_listed(capsys):
    assert main(["check", "--laws", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    for group, laws in LAWS.items():
        assert [law["id"] for law in listed[group]] == [law.id for law in laws]
        assert all(law["explanation"] and law["usual_cause"] for law in listed[group])


def test_the_call_returns_a_report():
    report = tt.memcheck(make(GRU), seed=4)
    assert report.passed
    assert "25 held, 1 not checked" in str(report)
    report = tt.memcheck(make(NeverReset))
    assert not report.passed
    assert [finding.law.id for finding in report.broken] == ["policy/reset-acts"]
    assert "usual cause" in str(report)


def _pytest(folder, *words):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]  # the plugin comes with the package
    return subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True)


def test_pytest_has_each_law_as_a_test(agent):
    done = _pytest(agent, "--memcheck", "my_agent:policy", "--memcheck", "my_agent:Wrong")
    assert "1 failed, 43 passed, 8 skipped" in done.stdout, done.stdout + done.stderr
    assert "memcheck my_agent:Wrong policy/reset-acts" in done.stdout
    assert "Usual cause:" in done.stdout
    assert "Traceback" not in done.stdout
    assert done.returncode == 1


def test_pytest_says_what_is_wrong_with_the_option(agent):
    done = _pytest(agent, "--memcheck", "my_agent:polcy")
    assert done.returncode == 4
    assert "Did you mean 'Policy'?" in done.stdout + done.stderr


def test_the_plugin_costs_nothing_where_it_is_not_used():
    code = "import sys, throughtime.cli.pytest_memcheck; assert not {'jax', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
