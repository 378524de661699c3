"""`throughtime draw`: what it writes, what it prints, and what it refuses."""

import json
from xml.etree import ElementTree

import pytest

from throughtime.cli.main import main


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_an_svg_is_written_and_an_older_one_is_not_overwritten_unasked(empty_folder, capsys):
    words = ["draw", "lstm", "--hidden-size", "8", "--num-layers", "2", "--residual", "--readout", "3"]
    assert main(words) == 0
    file = empty_folder / "lstm-many-to-many.svg"
    ElementTree.parse(file)
    assert "lstm-many-to-many.svg" in capsys.readouterr().out
    file.write_text("mine")
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert file.read_text() == "mine"
    assert main([*words, "--overwrite"]) == 0
    assert file.read_text() != "mine"


def test_mermaid_goes_to_standard_output_or_to_a_file_named_so(empty_folder, capsys):
    assert main(["draw", "tdnn", "--taps", "3", "--T", "2", "--format", "mermaid"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("---\ntitle:")
    assert "W_2 = weight_xh[2]" in text
    assert "W_3" not in text
    assert not any(empty_folder.iterdir())
    assert main(["draw", "tdnn", "--taps", "3", "--T", "2", "--out", "net.mmd"]) == 0
    assert (empty_folder / "net.mmd").read_text() == text


def test_json_is_alone_on_standard_output(capsys):
    assert main(["draw", "gru", "--hidden-size", "8", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["weights"] == {"weight_xh": [4, 24], "weight_hh": [8, 24], "bias_h": [24], "bias_hn": [8]}
    assert result["parameters"] == 4 * 24 + 8 * 24 + 24 + 8
    assert result["out"] == "gru-many-to-many.svg"
    assert main(["draw", "gru", "--format", "mermaid", "--json"]) == 0
    assert "flowchart" in json.loads(capsys.readouterr().out)["text"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ([], "Known: elman, gru"),
        (["gro"], "Did you mean 'gru'"),
        (["--T", "3"], "draw MEMORY"),
        (["gru", "--T", "0"], "T is 0"),
        (["gru", "--T-out", "3"], "encoder-decoder"),
        (["gru", "--hidden-size", "0"], "hidden_size is 0"),
        (["gru", "--out", "nowhere/net.svg"], "no folder nowhere"),
        (["gru", "--out", "net.png"], "Let it end in .svg, .mmd or .mermaid"),
        (["gru", "--out", "net"], "Let it end in .svg, .mmd or .mermaid"),
        (["gru", "--out", "net.svg", "--format", "mermaid"], "Its ending says svg"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(words, hint, empty_folder, capsys):
    assert main(["draw", *words]) == 2
    assert hint in capsys.readouterr().err
    assert not any(empty_folder.iterdir())
