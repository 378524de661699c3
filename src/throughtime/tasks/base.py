"""The one contract of the supervised tasks: data, a model around any memory, a loss, and a score on held-out data."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from throughtime.core import ConfigError
from throughtime.gradients import Clipping, check_clipping
from throughtime.memory import MEMORIES, Memory, check_memory, make_memory

Architecture = Literal["one-to-one", "one-to-many", "many-to-one", "many-to-many", "encoder-decoder"]
ARCHITECTURES: tuple[Architecture, ...] = (
    "one-to-one",
    "one-to-many",
    "many-to-one",
    "many-to-many",
    "encoder-decoder",
)

RECURRENT = ("weight_hh", "weight_yh", "nu_log", "theta_log")
"""Parameters that the state is multiplied with, or that make what it is multiplied with."""


@dataclass(frozen=True)
class TaskConfig:
    """How a model is built and trained on a task. A task's own defaults are those that were tuned for it."""

    memory: str = "gru"
    """The recurrence; `throughtime memories` lists them."""
    hidden_size: int = 64
    """Hidden units of each memory layer."""
    num_layers: int = 1
    """Memory layers on top of each other."""
    residual: bool = False
    """Adds each memory layer's input to its output (layers of one width)."""
    memory_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the memory itself; at the command line NAME VALUE pairs: chrono 100."""
    updates: int = 1000
    """Gradient steps; fewer where `target` is reached."""
    batch_size: int = 32
    """Sequences of one gradient step."""
    learning_rate: float = 3e-3
    """Of Adam, at its highest."""
    anneal: bool = True
    """Lowers the learning rate to zero, as half a cosine, over the updates."""
    warm_up: int = 0
    """Updates in which the learning rate rises from zero."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW)."""
    dropout: float = 0.0
    """Share of a model's features that a gradient step leaves out, in the tasks whose model has dropout."""
    gradient_clip: float | None = 1.0
    """The limit of gradient clipping; None for none."""
    gradient_clip_by: Clipping = "norm"
    """What is limited: norm (keeps the direction), value, layer (each layer's norm), adaptive (unit by unit)."""
    recurrent_rate: float = 1.0
    """Learning rate of what the state is multiplied with (W_hh and the like), as a multiple of the others': over many
    steps a small change of it becomes a large one. For elman, jordan, lstm, gru and lru, which have such weights."""
    max_skipped: int = 10
    """Updates in a row whose gradient is not finite, and which are skipped, before the training stops."""
    validate_every: int = 50
    """Updates between two looks at the validation loss."""
    target: float | None = None
    """Stops when the validation loss is below it; None trains for all updates."""
    keep_best: bool = False
    """Keeps the model with the lowest validation loss rather than the last one."""

    def __post_init__(self):
        for name in ("hidden_size", "num_layers", "updates", "batch_size", "validate_every", "max_skipped"):
            value = getattr(self, name)
            if value < 1:
                raise ConfigError(f"{name} is {value}", "Nothing would be trained.", f"Set {name} to 1 or more.")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate is {self.learning_rate}", "It has to be above 0.", "Try 0.003.")
        if not self.weight_decay >= 0 or not self.warm_up >= 0:
            raise ConfigError(
                f"weight_decay is {self.weight_decay}, warm_up is {self.warm_up}",
                "Neither can be negative.",
                "Set them to 0 or more.",
            )
        if self.gradient_clip is not None and not self.gradient_clip > 0:
            raise ConfigError(
                f"gradient_clip is {self.gradient_clip}",
                "A limit of 0 or less would stop all learning.",
                "Set it above 0, or leave it out.",
            )
        if not self.recurrent_rate >= 0:
            raise ConfigError(f"recurrent_rate is {self.recurrent_rate}", "It is a multiple, 0 or more.", "Try 0.01.")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout is {self.dropout}", "It is a share of the features.", "Set it in [0, 1).")
        check_clipping(self.gradient_clip_by)
        check_memory(self.memory, **self.memory_options)
        if self.recurrent_rate != 1 and not _recurrent(self.memory):
            raise ConfigError(
                f"recurrent_rate is {self.recurrent_rate} for memory {self.memory!r}",
                "No parameter of this memory multiplies its state, so there is nothing that it could slow down.",
                f"Leave it out, or take one of {', '.join(filter(_recurrent, MEMORIES))}.",
            )

    def build_memory(self, input_size: int, key: PRNGKeyArray) -> Memory:
        """The memory for inputs `[T, B, input_size]`."""
        options: dict[str, Any] = dict(self.memory_options)
        return make_memory(
            self.memory,
            input_size,
            self.hidden_size,
            num_layers=self.num_layers,
            residual=self.residual,
            key=key,
            **options,
        )


def _recurrent(memory: str) -> bool:
    return any(field.name in RECURRENT for field in fields(MEMORIES[memory].cls))


class Task(ABC):
    """A supervised task on sequences. A subclass is a frozen dataclass whose fields are the task's options.

    What is random is drawn from keys inside compiled code; what is data is loaded by `load`, handed to the compiled
    functions as an argument, and split once and for all into training, validation and test.
    """

    name: ClassVar[str]
    architecture: ClassVar[Architecture]
    summary: ClassVar[str]
    score: ClassVar[str]
    """Which of `evaluate`'s numbers is the headline."""
    higher_is_better: ClassVar[bool] = False
    extra: ClassVar[str | None] = None
    """The extra to install for the task's data, where it needs one."""

    @property
    def required_lag(self) -> int | None:
        """Steps from an input to the output that needs it, at most; None where it is not known."""
        return None

    @property
    def memoryless_score(self) -> float | None:
        """The best score of a model that sees the present input alone; None where it is not known."""
        return None

    @property
    def beside_memory(self) -> str | None:
        """What of the past a model sees without its memory; with `--memory none` that is no memoryless floor."""
        return None

    @abstractmethod
    def defaults(self, memory: str) -> TaskConfig:
        """The tuned settings for a memory."""

    def load(self) -> PyTree:
        """The data, as arrays; none where all is drawn."""
        return ()

    @abstractmethod
    def model(self, data: PyTree, config: TaskConfig, key: PRNGKeyArray) -> eqx.Module:
        """A fresh model."""

    @abstractmethod
    def batch(self, data: PyTree, size: int, key: PRNGKeyArray) -> PyTree:
        """`size` training examples; compiled."""

    def validation_batch(self, data: PyTree, key: PRNGKeyArray) -> PyTree:
        """What the validation loss is taken on, the same key every time; compiled. Default: 256 fresh examples."""
        return self.batch(data, 256, key)

    @abstractmethod
    def loss(self, model: Any, batch: PyTree, key: PRNGKeyArray | None, progress: Float[Array, ""]) -> Float[Array, ""]:
        """The loss; compiled.

        Args:
            model: the model.
            batch: as `batch` gives it.
            key: for dropout and scheduled sampling; None in validation, where neither happens.
            progress: share of the updates that are done, in [0, 1], for schedules.
        """

    @abstractmethod
    def evaluate(self, model: Any, data: PyTree, key: PRNGKeyArray) -> Mapping[str, float]:
        """Scores of the final model on held-out data.

        Where the memoryless score has to be measured on the data, it is among them: `memoryless_…` before the name of
        the headline score.
        """

    def showcase(self, model: Any, data: PyTree, key: PRNGKeyArray) -> Sequence[Any]:
        """What the report shows of the final model beside its scores. Default: nothing."""
        del model, data, key
        return ()

    def for_seed(self, seed: int) -> "Task":
        """The task as one of several seeds trains on it. Default: the same; other where `evaluate` writes a file."""
        del seed
        return self

    def options(self) -> dict[str, Any]:
        """The task's options as they are set."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # pyright: ignore[reportArgumentType]


def mean_over_batches(task: Task, model: Any, data: PyTree, key: PRNGKeyArray, *, batches: int, size: int) -> float:
    """The task's loss on fresh batches that played no part in training: `batches` · `size` examples."""

    @eqx.filter_jit
    def losses(model, data, keys):
        return jax.lax.map(lambda k: task.loss(model, task.batch(data, size, k), None, jnp.ones(())), keys)

    return float(jnp.mean(losses(model, data, jax.random.split(key, batches))))
