"""Sentiment from the user's own file: what is read, what is refused and where, and that no text leaks."""

import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from throughtime.core import ConfigError
from throughtime.tasks import TaskConfig, make_task, train_task
from throughtime.tasks._labelled_text import Example, read_examples, split_of, tokenise

GOOD, BAD = ("lovely", "superb", "great", "moving"), ("dull", "awful", "boring", "clumsy")
THINGS = ("film", "plot", "cast", "music", "ending", "dialogue")
FORMS = ("the {t} was {a}", "{a}, this {t}!", "what a {a} {t} it is", "i found the {t} {a} in 1999")


def rows():
    """Texts whose label is their adjective's, or the other way round after "not"."""
    for adjective in (*GOOD, *BAD):
        for thing in THINGS:
            for form in FORMS:
                for negated in (False, True):
                    words = f"not {adjective}" if negated else adjective
                    yield form.format(t=thing, a=words), "good" if (adjective in GOOD) != negated else "bad"


@pytest.fixture
def csv_file(tmp_path):
    path = tmp_path / "reviews.csv"
    lines = [f'{i},"{text}",{label}' for i, (text, label) in enumerate(rows())]
    path.write_text("id,Text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't miss it: 10/10!", ["don't", "miss", "it", ":", "10", "/", "10", "!"]),
        ("GROSSE Ärgernisse", ["grosse", "ärgernisse"]),
        ("it’s a\n'quoted'  word_two", ["it's", "a", "'", "quoted", "'", "word", "_", "two"]),
        ("ﬁne ½ 3D", ["fine", "1", "⁄", "2", "3", "d"]),
        ("最高 😀", ["最高", "😀"]),
        (" \t", []),
    ],
)
def test_words(text, words):
    assert list(tokenise(text)) == words


def test_csv_and_json_lines_are_read_alike(tmp_path):
    texts = [('She said "no",\nand left.', "bad"), ("Très bien", "good"), ("=1+1; __import__('os')", "odd")]
    quoted = ['"' + text.replace('"', '""') + f'",{label}' for text, label in texts]
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + ("text,label\r\n" + "\r\n".join(quoted)).encode())
    lines = [json.dumps({"label": label, "text": text, "stars": 3}) for text, label in texts]
    (tmp_path / "a.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    expected = [Example(tokenise(text), label, split_of(tokenise(text))) for text, label in texts]
    assert read_examples(str(tmp_path / "a.csv")) == read_examples(str(tmp_path / "a.jsonl")) == expected


def test_labels_that_are_numbers_are_the_same_in_both_kinds_of_file(tmp_path):
    (tmp_path / "a.csv").write_text("text,label\ngood,1\nbad,-1\n")
    (tmp_path / "a.jsonl").write_text('{"text": "good", "label": 1}\n{"text": "bad", "label": -1}\n')
    assert read_examples(str(tmp_path / "a.jsonl")) == read_examples(str(tmp_path / "a.csv"))
    assert [example.label for example in read_examples(str(tmp_path / "a.csv"))] == ["1", "-1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv has no texts"),
        ("a.csv", b"text,label\n", "a.csv has no texts"),
        ("a.csv", b"\n\nsentence,label\nx,y\n", "line 3: 0 columns 'text'"),
        ("a.csv", b"text,sentiment\nx,y\n", "line 1: 0 columns 'label'"),
        ("a.csv", b"text,label,text\nx,y,z\n", "line 1: 2 columns 'text'"),
        ("a.csv", b'text,label\n"two\nlines",y\none, more,y\n', "line 4: 3 fields, the header has 2"),
        ("a.csv", b"text,label\nx,y\nalone\n", "line 3: 1 fields, the header has 2"),
        ("a.csv", b'text,label\nx,y\n"x"z,y\n', "line 3: ',' expected after '\"'"),
        ("a.csv", b'text,label\nx,y\n\n"never closed,y\nx,y\n', "line 4: unexpected end of data"),
        ("a.csv", b"text,label\nx,y\n...,y\n,y\n", "line 4: the text has no words"),
        ("a.csv", b"text,label\nx, \n", "line 2: the label is empty"),
        ("a.csv", "text,label\nx,y\ntrès,y\n".encode("latin-1"), "line 3: the byte 0xe8 is not UTF-8"),
        ("a.jsonl", b"", "a.jsonl has no texts"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n{"text": "x"\n', "line 2: not JSON"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n\n["x", "y"]\n', "line 3: a list, not an object"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n{"text": "x"}\n', "line 2: label is missing"),
        ("a.jsonl", b'{"text": "x", "label": 1}\n{"text": "x", "label": 1.5}\n', "line 2: label is 1.5, a float"),
        ("a.jsonl", b'{"text": "x", "label": true}\n', "line 1: label is True, a bool"),
        ("a.jsonl", b'{"text": 1, "label": 1}\n', "line 1: text is 1, a int"),
        ("a.jsonl", b'{"text": null, "label": "y"}\n', "line 1: text is None, a NoneType"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n' + b"[" * 100_000, "line 2: not JSON"),
        ("a.jsonl", b'{"text": "x", "label": "y"}\n\xff\xfe\n', "line 2: the byte 0xff is not UTF-8"),
        ("a.txt", b"x", "neither .csv nor .jsonl"),
    ],
)
def test_a_file_that_is_not_as_described_is_refused_with_its_line(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=re.escape(message)):
        make_task("sentiment", path=str(tmp_path / name)).load()


@pytest.mark.parametrize(
    ("path", "message"), [("", "no path"), ("missing.csv", "cannot be read"), ("folder.csv", "cannot be read")]
)
def test_no_file_is_refused(tmp_path, path, message):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ConfigError, match=message):
        make_task("sentiment", path=path and str(tmp_path / path)).load()


def test_a_single_label_and_too_few_texts_are_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "".join(f"text {i},y\n" for i in range(50)), encoding="utf-8")
    with pytest.raises(ConfigError, match="all labels are 'y'"):
        make_task("sentiment", path=str(path)).load()
    path.write_text("text,label\nx,y\nz,n\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="of 2 texts with 2 labels, the split"):
        make_task("sentiment", path=str(path)).load()


@pytest.mark.parametrize("field", ["min_count", "vocabulary", "longest"])
def test_impossible_options_are_refused(field):
    with pytest.raises(ConfigError, match=f"{field} is 0"):
        make_task("sentiment", **{field: 0})


def test_a_text_is_in_one_split_however_often_and_however_written(tmp_path):
    path = tmp_path / "a.csv"
    texts = [text for text, _ in rows()]
    twice = [*texts, *(f"  {text.upper()}" for text in texts)]
    path.write_text("text,label\n" + "".join(f'"{t}",{i % 2}\n' for i, t in enumerate(twice)), encoding="utf-8")
    data = make_task("sentiment", path=str(path), min_count=1).load()
    where = {}
    for name in ("train", "valid", "test"):
        split = getattr(data, name)
        for tokens, length in zip(np.asarray(split.tokens), np.asarray(split.lengths), strict=True):
            if 0 not in tokens[:length]:  # all its words are known
                where.setdefault(tuple(tokens[:length]), set()).add(name)
    assert all(len(names) == 1 for names in where.values())
    counts = [len(s.labels) for s in (data.train, data.valid, data.test)]
    assert sum(counts) == len(twice)
    np.testing.assert_allclose(np.array(counts) / len(twice), [0.7, 0.15, 0.15], atol=0.06)


def test_the_vocabulary_is_the_training_splits_alone(csv_file):
    task = make_task("sentiment", path=str(csv_file), min_count=3, vocabulary=12, longest=4)
    data = task.load()
    examples = read_examples(str(csv_file))
    train = [e for e in examples if e.split == "train"]
    count = {}
    for e in train:
        for word in e.words:
            count[word] = count.get(word, 0) + 1
    known = sorted((w for w in count if count[w] >= 3), key=lambda w: (-count[w], w))[:12]
    assert np.asarray(data.words).tolist()[1:] == [count[w] for w in known]
    assert int(data.words.sum()) == sum(count.values())
    for split in ("train", "valid", "test"):
        some = [e for e in examples if e.split == split]
        got = getattr(data, split)
        numbers = [[known.index(w) + 1 if w in known else 0 for w in e.words][:4] for e in some]
        assert [t[:n] for t, n in zip(got.tokens.tolist(), got.lengths.tolist(), strict=True)] == numbers
        assert got.labels.tolist() == [["bad", "good"].index(e.label) for e in some]


def test_padding_changes_nothing(csv_file):
    task = make_task("sentiment", path=str(csv_file))
    data = jax.tree.map(jnp.asarray, task.load())
    config = TaskConfig(memory="elman", hidden_size=4)
    model = eqx.filter_jit(lambda data, key: task.model(data, config, key))(data, jax.random.key(0))
    few = jax.tree.map(lambda a: np.asarray(a)[:20], data.train)
    padding = np.arange(few.tokens.shape[1])[None] >= few.lengths[:, None]
    # Words of the padding become one whose embedding is not a number.
    broken = eqx.tree_at(
        lambda m: m.embedding, model, jnp.asarray([*np.asarray(model.embedding)[:-1], np.full(4, np.nan, np.float32)])
    )
    few = few._replace(tokens=np.where(few.tokens == data.words.shape[0] - 1, 0, few.tokens))
    padded = few._replace(tokens=np.where(padding, data.words.shape[0] - 1, few.tokens))
    logits = eqx.filter_jit(lambda m, s: m(s.tokens, s.lengths))
    assert padding.any()
    np.testing.assert_array_equal(
        *(logits(m, jax.tree.map(jnp.asarray, s)) for m, s in ((broken, padded), (model, few)))
    )


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "least", "most"), [("gru", 0.95, 1.0), ("none", 0.3, 0.8)])
def test_sentences_are_learned_where_order_counts(csv_file, memory, least, most):
    task = make_task("sentiment", path=str(csv_file))
    result = train_task(task, task.defaults(memory))
    assert least <= result.score <= most
    assert 0.3 < result.scores["commonest_label"] < 0.7
    if memory == "gru":
        said = task.predict(result.model, ["The plot was superb", "Not superb, this ending!", "i found the cast dull"])
        assert said == ["good", "bad", "bad"]
