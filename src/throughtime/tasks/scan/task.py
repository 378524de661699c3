"""Following instructions: SCAN, by imitation or by what executing them earns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.memory.architectures import (
    PAD,
    OptionDecoder,
    ScheduledSampling,
    SyntacticAttention,
    counted,
    exact_match,
    token_accuracy,
    token_loss,
)
from throughtime.tasks.base import Task, TaskConfig
from throughtime.tasks.scan.buckets import by_bucket
from throughtime.tasks.scan.data import (
    Commands,
    ScanData,
    bucket_edges,
    decode,
    draw_bucket,
    load,
    longest,
    one_hot,
    phrase,
)
from throughtime.tasks.scan.language import interpret
from throughtime.tasks.scan.policy import POLICIES, ROWS, Policy, build_policy, follow, follow_all
from throughtime.tasks.scan.reward import curriculum, draw_level, policy_gradient_loss, share_right
from throughtime.tasks.scan.splits import SPLITS, Split
from throughtime.tasks.scan.world import execute


class Batch(NamedTuple):
    """What a gradient step learns from."""

    commands: Commands  # leaves [L, B, ...]: of each level of a curriculum, or of one bucket (L = 1)
    bucket: Int[Array, ""]  # the one that they are from


class Followed(NamedTuple):
    """One instruction, and what a policy made of it."""

    instruction: str
    actions: tuple[str, ...]
    wanted: tuple[str, ...]


@dataclass(frozen=True)
class Scan(Task):
    """An instruction is read word by word, and then followed, action by action, in a grid world."""

    name: ClassVar[str] = "scan"
    architecture: ClassVar[Any] = "encoder-decoder"
    summary: ClassVar[str] = "follow an instruction (SCAN): jump around left twice and walk; combinations never seen"
    score: ClassVar[str] = "exact_match"
    higher_is_better: ClassVar[bool] = True

    split: Split = "simple"
    """What is kept for the test: a fifth at random (simple), whatever takes more than 22 actions (length), all that
    says "turn left" (turn-left) or "jump" (jump) beside something else."""
    policy: Policy = "options"
    """The encoder-decoder with attention, one that keeps meaning and syntax apart (syntactic), or one that also plans
    what to do and how many times (options)."""
    learn_by: Literal["imitation", "reward"] = "imitation"
    """Learns from the actions themselves, or from what its own actions earn: a share for each one that is right,
    nothing after the first that is wrong (policy gradient, short instructions first)."""
    own: float = 0.0
    """Scheduled sampling, for attention: the probability, at the end, that a step reads its own last action."""
    noise: float = 0.3
    """Of the signs by which the words know each other in syntactic and options, in training."""
    energy: float = 0.01
    """The penalty on the size of those signs."""
    blank: float = 0.0
    """The share of words that the others do not see in training, in syntactic and options."""
    brevity: float = 1.0
    """What an action of an option costs in training, in nats, however often the option is done (an option costs eight
    times as much): of the plans that come to the right actions, the shortest is learned."""
    entropy: float = 0.1
    """The bonus on the entropy of the actions, where it learns by reward."""
    instructions: tuple[str, ...] = ()
    """Your own, in quotes; the report shows what the trained policy does with them."""

    def __post_init__(self):
        for field, known in (("split", SPLITS), ("policy", POLICIES), ("learn_by", ("imitation", "reward"))):
            if getattr(self, field) not in known:
                raise ConfigError(f"{field} is {getattr(self, field)!r}", "", did_you_mean(getattr(self, field), known))
        for field in ("noise", "energy", "brevity", "entropy"):
            if not getattr(self, field) >= 0:
                raise ConfigError(f"{field} is {getattr(self, field)}", "It is 0 or more.", f"Set {field} to 0.")
        if self.learn_by == "reward" and self.policy == "options":
            raise ConfigError(
                "learn_by is 'reward' for the policy 'options'",
                "Its actions have no probabilities of their own, only whole sequences have.",
                "Take the policy attention or syntactic.",
            )
        if not 0 <= self.blank < 1:
            raise ConfigError(f"blank is {self.blank}", "It is a share of the words.", "Set it in [0, 1).")
        ScheduledSampling(self.own)
        for text in self.instructions:
            interpret(text)

    @property
    def beside_memory(self) -> str | None:
        """What the decoder attends to."""
        return "all words of the instruction (by attention)"

    def defaults(self, memory: str) -> TaskConfig:
        """As tuned for a GRU."""
        size, updates = {"attention": (128, 6000), "syntactic": (64, 3000), "options": (64, 3000)}[self.policy]
        rate, batch = 2e-3, 64
        if self.learn_by == "reward":  # noisier gradients, and a longer way
            updates, rate, batch = 6000, 1e-3, 128
        return TaskConfig(
            memory=memory,
            hidden_size=size,
            updates=updates,
            batch_size=batch,
            learning_rate=rate,
            validate_every=500,
        )

    def load(self) -> ScanData:
        """The published division; for validation, some of the training examples."""
        return load(self.split)

    def model(self, data: ScanData, config: TaskConfig, key: PRNGKeyArray) -> Any:
        """The policy."""
        del data
        return build_policy(self.policy, config, key, noise=self.noise, blank=self.blank)

    def batch(self, data: ScanData, size: int, key: PRNGKeyArray) -> Batch:
        """Examples of one bucket; or, to learn by reward, `size` for each level of the curriculum."""
        if self.learn_by == "reward":
            levels = draw_level(data.train, curriculum(longest(self.split)), size, key)
            return Batch(levels, jnp.zeros((), jnp.int32))
        commands, bucket = draw_bucket(data.train, self._edges, size, key)
        return Batch(jax.tree.map(lambda a: a[None], commands), bucket)

    def validation_batch(self, data: ScanData, key: PRNGKeyArray) -> Batch:
        """Some of the training examples, of all lengths."""
        del key
        return Batch(jax.tree.map(lambda a: a[None], data.valid), jnp.zeros((), jnp.int32))

    def loss(self, model: Any, batch: Batch, key: PRNGKeyArray | None, progress: Float[Array, ""]) -> Float[Array, ""]:
        """Cross-entropy of the actions, or the policy gradient's surrogate.

        In training each bucket has a program of its own, no longer than its targets are. In validation by reward: the
        share that the greedy policy does not earn.
        """
        edges = self._edges
        if key is None:
            commands = jax.tree.map(lambda a: a[-1], batch.commands)
            if self.learn_by == "imitation":
                return self._imitate(model, commands, None, progress)
            said = model.generate(one_hot(commands), commands.lengths, commands.actions.shape[1])
            return 1.0 - jnp.mean(share_right(said.tokens, commands.actions.T))
        if self.learn_by == "imitation":
            commands, bucket = jax.tree.map(lambda a: a[0], batch.commands), batch.bucket
            return by_bucket(self._imitate, edges, bucket, model, commands, key, progress)
        levels = curriculum(longest(self.split))
        level = jnp.minimum(progress / 0.8 * len(levels), len(levels) - 1).astype(jnp.int32)
        commands = jax.tree.map(lambda a: a[level], batch.commands)
        bucket = jnp.searchsorted(jnp.asarray(edges, jnp.int32), jnp.asarray(levels, jnp.int32)[level] + 1)
        return by_bucket(self._explore, edges, bucket.astype(jnp.int32), model, commands, key, progress)

    def evaluate(self, model: Any, data: ScanData, key: PRNGKeyArray) -> Mapping[str, float]:
        """Exact sequences and token accuracy on the test split, free-running and greedy, and by number of actions.

        `same_pose` is the share of instructions after which the agent stands where it should, as it should.
        """
        del key
        asked, said = np.asarray(data.test.actions), follow_all(model, data.test)
        right = np.asarray(exact_match(jnp.asarray(said), jnp.asarray(asked.T)))
        scores = {
            "exact_match": float(right.mean()),
            "token_accuracy": float(token_accuracy(jnp.asarray(said), jnp.asarray(asked.T))),
            "same_pose": _same_pose(said, asked),
        }
        actions = np.sum(asked != PAD, axis=1) - 1
        for low, high in ((1, 8), (9, 15), (16, 22), (23, 32), (33, 48)):
            if (rows := (actions >= low) & (actions <= high)).any():
                scores[f"exact_match_{low}_to_{high}"] = float(right[rows].mean())
        return scores

    def showcase(self, model: Any, data: ScanData, key: PRNGKeyArray) -> Sequence[Followed]:
        """The user's instructions; where there are none, two of the test that end right, and one that does not."""
        del key
        chosen = self.instructions or _telling(model, data.test)
        return [Followed(text, follow(model, text), interpret(text)) for text in chosen]

    @property
    def _edges(self) -> tuple[int, ...]:
        """Of the buckets; all in one for a policy whose loop is not as long as its targets."""
        edges = bucket_edges(self.split)
        return edges[-1:] if self.policy == "options" else edges

    def _imitate(
        self, model: Any, commands: Commands, key: PRNGKeyArray | None, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        own = ScheduledSampling(self.own)(progress) if self.own > 0 and key is not None else None
        targets = commands.actions.T
        if isinstance(model, OptionDecoder):
            brevity = 0.0 if key is None else self.brevity
            log_p = model.log_prob(one_hot(commands), commands.lengths, targets, brevity=brevity, key=key)
            loss = -jnp.sum(log_p) / jnp.sum(counted(targets)).astype(log_p.dtype)
            return loss if key is None else loss + self._penalty(model)
        loss = token_loss(model(one_hot(commands), commands.lengths, targets, own=own, key=key), targets)
        return loss if key is None else loss + self._penalty(model)

    def _explore(
        self, model: Any, commands: Commands, key: PRNGKeyArray, progress: Float[Array, ""]
    ) -> Float[Array, ""]:
        del progress
        return policy_gradient_loss(model, commands, key, entropy=self.entropy) + self._penalty(model)

    def _penalty(self, model: Any) -> Float[Array, ""] | float:
        return self.energy * model.sign_energy() if isinstance(model, SyntacticAttention | OptionDecoder) else 0.0


def _same_pose(said: Int[np.ndarray, "T N"], asked: Int[np.ndarray, "N T"]) -> float:
    """The share of rows after which the agent stands where it should, as it should."""
    ends = [(execute(decode(a)).end, execute(decode(b)).end) for a, b in zip(said.T, asked, strict=True)]
    return float(np.mean([a == b for a, b in ends]))


def _telling(model: Any, test: Commands) -> list[str]:
    """A short and a long instruction that are followed rightly, and one that is not, where there are such."""
    some = np.linspace(0, len(test.lengths) - 1, min(ROWS, len(test.lengths))).astype(int)
    part = jax.tree.map(lambda a: jnp.asarray(a)[some], test)
    right = np.asarray(exact_match(jnp.asarray(follow_all(model, part)), part.actions.T))
    good, bad = np.flatnonzero(right), np.flatnonzero(~right)
    rows = [
        int(array[int(share * len(array))]) for array, share in ((good, 0.2), (good, 0.8), (bad, 0.5)) if len(array)
    ]
    return [phrase(part, row) for row in dict.fromkeys(rows)]
