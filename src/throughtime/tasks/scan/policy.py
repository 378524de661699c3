"""The policies that follow an instruction, and what one of them does with yours."""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, PRNGKeyArray

from throughtime.memory.architectures import EncoderDecoder, OptionDecoder, RoleReader, SyntacticAttention
from throughtime.tasks.base import TaskConfig
from throughtime.tasks.scan.data import MOST_ACTIONS, TOKENS, VOCABULARY, Commands, decode, encode_words, one_hot

Policy = Literal["attention", "syntactic", "options"]
POLICIES: tuple[Policy, ...] = ("attention", "syntactic", "options")

EMBEDDING = 32
MEANING = 64
ROWS = 1024
"""Instructions that are followed at once."""


def build_policy(
    policy: Policy, config: TaskConfig, key: PRNGKeyArray, *, noise: float
) -> EncoderDecoder | SyntacticAttention | OptionDecoder:
    """A fresh policy, all memories of it of one kind and size.

    Args:
        policy: "attention" for an encoder-decoder whose decoder attends to what the encoder put out and reads the
            actions so far; "syntactic" for one in which the order of the words decides where to look, and the word
            looked at what is done; "options" for one that also plans before it acts: subgoals, what to do for each,
            and how many times.
        config: of the memories.
        key: for the random weights.
        noise: of the words' signs, for "syntactic" and "options".

    Raises:
        ConfigError: a memory without a state where one is needed.
    """
    keys = jax.random.split(key, 6)
    if policy == "attention":
        encoder, memory = config.build_memory(len(VOCABULARY), keys[0]), config.build_memory(EMBEDDING, keys[1])
        return EncoderDecoder(encoder, memory, TOKENS, attention=True, dropout=config.dropout, key=keys[2])
    ahead, back = (config.build_memory(EMBEDDING, k) for k in keys[:2])
    reader = RoleReader(ahead, back, len(VOCABULARY), MEANING, noise=noise, dropout=config.dropout, key=keys[2])
    memory = config.build_memory(reader.role_size, keys[3])
    if policy == "syntactic":
        return SyntacticAttention(reader, memory, TOKENS, key=keys[4])
    return OptionDecoder(reader, config.build_memory(reader.role_size, keys[5]), memory, TOKENS, key=keys[4])


def follow(model: Any, instruction: str) -> tuple[str, ...]:
    """The actions that a policy takes for an instruction, the most probable one at each step.

    Args:
        model: as `Scan.model` made it, and `train_task` trained it.
        instruction: words of the language; their order may be any.

    Raises:
        ConfigError: a word that the language does not have, or too many.
    """
    words, length = encode_words(instruction)
    commands = Commands(jnp.asarray(words[None]), jnp.asarray([length], jnp.int32), jnp.zeros((1, 1), jnp.int32))
    said = model.generate(one_hot(commands), commands.lengths, MOST_ACTIONS + 1)
    return decode(np.asarray(said.tokens[:, 0]))


def follow_all(model: Any, commands: Commands) -> Int[np.ndarray, "T N"]:
    """What the greedy policy says to N instructions, as tokens, in as many calls of one program as it takes."""
    N, T = commands.actions.shape
    run = eqx.filter_jit(lambda model, xs, lengths: model.generate(xs, lengths, T).tokens)
    said = []
    for begin in range(0, N, ROWS):
        rows = np.minimum(np.arange(begin, begin + min(ROWS, N)), N - 1)  # the last call repeats the last row
        part = jax.tree.map(lambda a, rows=rows: jnp.asarray(a)[rows], commands)
        said.append(np.asarray(run(model, one_hot(part), part.lengths)))
    return np.concatenate(said, axis=1)[:, :N]
