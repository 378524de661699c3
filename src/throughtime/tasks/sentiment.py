"""Sentiment: the label of a sentence, learned from the user's own file. Many-to-one."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError
from throughtime.memory.architectures import ManyToOne
from throughtime.tasks._classifier import Classifier, accuracy_of, class_loss
from throughtime.tasks._labelled_text import Example, read_examples, tokenise
from throughtime.tasks.base import Task, TaskConfig

UNKNOWN = 0
EMBEDDING = 32


class Sentences(NamedTuple):
    """Sentences as numbered words, and their labels."""

    tokens: Int[Array, "N T"]  # UNKNOWN in the padding too
    lengths: Int[Array, " N"]
    labels: Int[Array, " N"]


class SentenceSplits(NamedTuple):
    """No sentence is in two of them, however often the file has it."""

    train: Sentences
    valid: Sentences
    test: Sentences
    words: Int[Array, " V"]  # how often the training split has each word of the vocabulary; the first is UNKNOWN
    labels: Int[Array, " C"]  # and each label


class Sentiments(eqx.Module):
    """An embedding of words, and a classifier of the sequence."""

    embedding: Float[Array, "V E"]
    classifier: Classifier

    def __call__(
        self, tokens: Int[Array, "B T"], lengths: Int[Array, " B"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "B C"]:
        """Logits; dropout where there is a key."""
        xs = self.embedding[tokens.T]
        if key is not None:
            key, key_words = jax.random.split(key)
            xs = eqx.nn.Dropout(self.classifier.dropout)(xs, key=key_words)
        return self.classifier(xs, lengths, key=key)


@dataclass(frozen=True)
class Sentiment(Task):
    """A sentence is read word by word; the answer is one of the labels of the user's file.

    The file is UTF-8: CSV with a header that names the columns `text` and `label` (others are passed over), or JSON
    lines with an object `{"text": "…", "label": "…"}` in each line. Words are made small and split as `tokenise` says;
    the vocabulary is that of the training split, and all other words are one. About 70 % of the texts are for training,
    15 % for validation, 15 % for the test; a hash of its words decides for each text, so that a repeated text does not
    leak, and a file that grows keeps its splits.
    """

    name: ClassVar[str] = "sentiment"
    architecture: ClassVar[Any] = "many-to-one"
    summary: ClassVar[str] = "label sentences, learned from your own CSV or JSONL (text, label)"
    score: ClassVar[str] = "accuracy"
    higher_is_better: ClassVar[bool] = True

    path: str = ""
    """The file, .csv or .jsonl."""
    min_count: int = 2
    """How often the training split has a word that is in the vocabulary."""
    vocabulary: int = 10_000
    """The most words of the vocabulary, the commonest first."""
    longest: int = 100
    """Words of a text that are read; the rest is cut off."""

    def __post_init__(self):
        for field in ("min_count", "vocabulary", "longest"):
            if getattr(self, field) < 1:
                raise ConfigError(f"{field} is {getattr(self, field)}", "No word would be left.", "Set it to 1.")

    def defaults(self, memory: str) -> TaskConfig:
        """Small, with dropout: such files are small; the model of the lowest validation loss is kept."""
        return TaskConfig(
            memory=memory, updates=600, learning_rate=2e-3, weight_decay=1e-3, dropout=0.3, keep_best=True
        )

    def load(self) -> SentenceSplits:
        """The sentences of the file.

        Raises:
            ConfigError: no file, one that is not what the class says (with the line), a single label, or few texts.
        """
        examples = read_examples(self.path)
        words, names = self._vocabulary(examples), _names(examples)
        number = {name: i for i, name in enumerate(names)}
        texts = {split: [e for e in examples if e.split == split] for split in ("train", "valid", "test")}
        if len(names) < 2:
            raise ConfigError(f"{self.path}: all labels are {names[0]!r}", "There is nothing to tell apart.", "")
        for split, some in texts.items():
            if not some or (split == "train" and len({e.label for e in some}) < len(names)):
                lacking = "has no text" if not some else "lacks a label"
                raise ConfigError(
                    f"{self.path}: of {len(examples)} texts with {len(names)} labels, the split {split!r} {lacking}",
                    "About 70 % of the texts are for training, 15 % for validation, 15 % for the test.",
                    "Write more texts, at least some 20 different ones for each label.",
                )
        longest = min(self.longest, max(len(e.words) for e in examples))

        def sentences(some: Sequence[Example]) -> Sentences:
            tokens, lengths = _number([e.words for e in some], words, longest)
            labels = np.array([number[e.label] for e in some], np.int32)
            return Sentences(tokens, lengths, labels)  # pyright: ignore[reportArgumentType]

        splits = {split: sentences(some) for split, some in texts.items()}
        count = Counter(word if word in words else "" for e in texts["train"] for word in e.words)
        known = np.array([count[""], *(count[word] for word in words)], np.int32)
        labels = np.bincount(splits["train"].labels, minlength=len(names)).astype(np.int32)
        return SentenceSplits(**splits, words=known, labels=labels)  # pyright: ignore[reportArgumentType]

    def model(self, data: SentenceSplits, config: TaskConfig, key: PRNGKeyArray) -> Sentiments:
        """An embedding, a memory and a linear readout of its last output."""
        key_words, key_memory, key_readout = jax.random.split(key, 3)
        size = min(config.hidden_size, EMBEDDING)
        architecture = ManyToOne(config.build_memory(size, key_memory), data.labels.shape[0], key=key_readout)
        embedding = 0.3 * jax.random.normal(key_words, (data.words.shape[0], size))
        return Sentiments(embedding, Classifier(architecture, config.dropout))

    def batch(self, data: SentenceSplits, size: int, key: PRNGKeyArray) -> Sentences:
        """Sentences of the training split, drawn with replacement."""
        rows = jax.random.randint(key, (size,), 0, data.train.labels.shape[0])
        return jax.tree.map(lambda a: a[rows], data.train)

    def validation_batch(self, data: SentenceSplits, key: PRNGKeyArray) -> Sentences:
        """All of the validation split."""
        del key
        return data.valid

    def loss(
        self, model: Sentiments, batch: Sentences, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        """Cross-entropy."""
        del progress
        return class_loss(model(batch.tokens, batch.lengths, key=key), batch.labels)

    def evaluate(self, model: Sentiments, data: SentenceSplits, key: PRNGKeyArray) -> Mapping[str, float]:
        """Accuracy on the test split, and that of always saying the training split's commonest label."""
        del key
        test = data.test
        return {
            "accuracy": accuracy_of(model, test.tokens, test.labels, test.lengths),
            "commonest_label": float(jnp.mean((test.labels == jnp.argmax(data.labels)).astype(jnp.float32))),
        }

    def predict(self, model: Sentiments, texts: Sequence[str]) -> list[str]:
        """The labels that a model trained on the file gives to new texts.

        Args:
            model: `train_task(task).model`.
            texts: any number of them, each with a word at least.

        Raises:
            ConfigError: no texts, one without words, or the file cannot be read again.
        """
        examples = read_examples(self.path)
        split = [tokenise(text) for text in texts]
        if not all(split) or not split:
            raise ConfigError("a text without words" if split else "no texts", "There is nothing to read.", "")
        tokens, lengths = _number(split, self._vocabulary(examples), self.longest)
        logits = model(jnp.asarray(tokens), jnp.asarray(lengths))
        names = _names(examples)
        if len(names) != logits.shape[1]:
            raise ConfigError(
                f"{self.path} has {len(names)} labels, the model was trained with {logits.shape[1]}",
                "The file was changed since the training, so numbers would stand for other words and labels.",
                "Train anew, or put the file back.",
            )
        return [names[i] for i in np.argmax(logits, axis=1)]

    def _vocabulary(self, examples: Sequence[Example]) -> dict[str, int]:
        """The words that the training split has often enough, numbered from 1, the commonest first."""
        count = Counter(word for e in examples if e.split == "train" for word in e.words)
        known = sorted((-n, word) for word, n in count.items() if n >= self.min_count)[: self.vocabulary]
        return {word: i for i, (_, word) in enumerate(known, start=1)}


def _names(examples: Sequence[Example]) -> list[str]:
    return sorted({e.label for e in examples})


def _number(texts: Sequence[Sequence[str]], words: Mapping[str, int], longest: int) -> tuple[np.ndarray, np.ndarray]:
    tokens = np.full((len(texts), longest), UNKNOWN, np.int32)
    for row, text in zip(tokens, texts, strict=True):
        read = [words.get(word, UNKNOWN) for word in text[:longest]]
        row[: len(read)] = read
    return tokens, np.array([min(len(text), longest) for text in texts], np.int32)
