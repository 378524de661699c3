"""docs/memcheck.md says what is so: its tables are the code's, its example is found wrong and right."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from memcheck_faults import FAULTS

from throughtime.cli import main
from throughtime.proof.memcheck import POLICY_LAWS

PAGE = (Path(__file__).parents[3] / "docs" / "memcheck.md").read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_code():
    rows = PAGE.splitlines()
    for law in POLICY_LAWS:
        assert f"| `{law.id}` | {law.statement} | {law.usual_cause} |" in rows
    for fault in FAULTS:
        assert f"| {fault.name} | {fault.seen} | `policy/{fault.law}` |" in rows
    named = re.findall(r"^\| .* \| `(policy/[^`]*)` \|$", PAGE, re.MULTILINE)
    assert len(named) == len(FAULTS)


def test_the_example_in_pytorch_is_found_wrong_and_then_right(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    blocks = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    wrong, printed, mended = blocks[:3]
    (tmp_path / "my_agent.py").write_text(wrong)
    (tmp_path / "mended.py").write_text(mended)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["check", "my_agent.py:Policy"]) == 1
    assert printed.strip().splitlines()[-1] in capsys.readouterr().out
    assert re.findall(r"^(policy/\S+) +broken", printed, re.MULTILINE) == [
        "policy/reset-acts",
        "policy/reset-drops-nan",
    ]
    assert main(["check", "mended.py:Mended"]) == 0
    assert "26 held" in capsys.readouterr().out
    for name in ("my_agent", "mended"):
        sys.modules.pop(name, None)


def test_the_benchmark_prints_them():
    script = Path(__file__).parents[3] / "benchmarks" / "memcheck.py"
    done = subprocess.run([sys.executable, script, "--tables"], capture_output=True, text=True, check=True)
    for row in done.stdout.splitlines():
        assert row in PAGE
