"""Labelled texts from the user's file: reading with errors that name the line, words, and the split of the texts.

A CSV or JSON lines file is data: it is parsed by `csv` and `json`, and nothing in it is ever evaluated.
"""

import csv
import hashlib
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from throughtime.core import ConfigError

COLUMNS = ("text", "label")
SHAPE = 'Write CSV with a header "text,label", or JSON lines {"text": "…", "label": "…"}.'
Split = Literal["train", "valid", "test"]

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*|\d+|[^\w\s]|_")


class Example(NamedTuple):
    """One labelled text."""

    words: tuple[str, ...]
    label: str
    split: Split


def tokenise(text: str) -> tuple[str, ...]:
    """The words of a text, in small letters: runs of letters (with apostrophes inside), runs of digits, single signs.

    "Don't miss it: 10/10!" becomes don't · miss · it · : · 10 · / · 10 · !
    """
    return tuple(_WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").lower()))


def split_of(words: tuple[str, ...]) -> Split:
    """Where a text belongs: decided by its words alone, so that the same text is always in the same split."""
    share = int.from_bytes(hashlib.sha256(" ".join(words).encode()).digest()[:4], "big") / 2**32
    return "train" if share < 0.7 else "valid" if share < 0.85 else "test"


def read_examples(path: str) -> list[Example]:
    """The labelled texts of a file.

    Args:
        path: a .csv file with a header that has `text` and `label`, or a .jsonl file of objects that have both; a label
            is a string or a whole number.

    Raises:
        ConfigError: what is wrong, and in which line.
    """
    if not path:
        raise ConfigError(
            "no path", "The task reads sentences of your own.", f"Name a file: --path reviews.csv. {SHAPE}"
        )
    kind = Path(path).suffix.lower()
    if kind not in (".csv", ".jsonl"):
        raise ConfigError(f"{path} is neither .csv nor .jsonl", "The ending tells how it is read.", SHAPE)
    rows = _csv_rows if kind == ".csv" else _json_rows
    examples = []
    for line, text, label in rows(path, _text(path)):
        words = tokenise(text)
        if not words:
            raise _error(path, line, "the text has no words", "There is nothing to read.", "Leave the line out.")
        if not label.strip():
            raise _error(path, line, "the label is empty", "Each text has one.", "Leave the line out.")
        examples.append(Example(words, label.strip(), split_of(words)))
    if not examples:
        raise ConfigError(f"{path} has no texts", "There is nothing to learn from.", SHAPE)
    return examples


def _text(path: str) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        why = f"{error.strerror or error}."
        raise ConfigError(f"{path} cannot be read", why, "Name a file that exists.") from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte, line = content[error.start], content[: error.start].count(b"\n") + 1
        raise _error(path, line, f"the byte 0x{byte:02x} is not UTF-8", "", "Save the file as UTF-8.") from error


def _csv_rows(path: str, content: str) -> Iterator[tuple[int, str, str]]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    header: list[str] = []
    line = 1  # where the row begins: one in quotation marks may have several
    try:
        for row in reader:
            begins, line = line, reader.line_num + 1
            if not row:
                continue
            if not header:
                header = [name.strip().lower() for name in row]
                for column in COLUMNS:
                    if header.count(column) != 1:
                        raise _error(
                            path, begins, f"{header.count(column)} columns {column!r}", f"The header is {row}.", SHAPE
                        )
                continue
            if len(row) != len(header):
                raise _error(
                    path,
                    begins,
                    f"{len(row)} fields, the header has {len(header)}",
                    "A comma inside a text separates fields, unless the text stands in quotation marks.",
                    'Write "a text, with a comma",label.',
                )
            yield begins, row[header.index("text")], row[header.index("label")]
    except csv.Error as error:
        raise _error(path, line, str(error), "This is not CSV.", SHAPE) from error


def _json_rows(path: str, content: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise _error(path, number, "not JSON", str(error), SHAPE) from error
        if not isinstance(value, dict):
            raise _error(path, number, f"a {type(value).__name__}, not an object", "", SHAPE)
        if type(value.get("label")) is int:  # classes are often numbered, and a CSV's are read as they stand
            value["label"] = str(value["label"])
        for column in COLUMNS:
            if not isinstance(value.get(column), str):
                found = f"{value[column]!r}, a {type(value[column]).__name__}" if column in value else "missing"
                raise _error(path, number, f"{column} is {found}", "It is a string (a label also a number).", SHAPE)
        yield number, value["text"], value["label"]


def _error(path: str, line: int, what: str, why: str, mend: str) -> ConfigError:
    return ConfigError(f"{path}, line {line}: {what}", why, mend)
