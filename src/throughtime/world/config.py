"""The settings of world models, checked before anything is compiled."""

from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import PRNGKeyArray

from throughtime.core import ConfigError, did_you_mean
from throughtime.memory import Memory, check_memory, make_memory
from throughtime.world.data import KINDS

MODELS = ("rssm", "mdn-rnn")


@dataclass(frozen=True)
class MemoryConfig:
    """The memory of a world model."""

    memory: str = "gru"
    """The recurrence, a name that `throughtime memories` lists; none gives a feed-forward model."""
    hidden_size: int = 64
    """Hidden units of each layer."""
    num_layers: int = 1
    """Layers on top of each other."""
    memory_options: dict[str, int | float | bool | str] = field(default_factory=dict)
    """Options of the memory itself."""

    def build(self, input_size: int, key: PRNGKeyArray) -> Memory:
        """The memory for inputs `[B, input_size]`.

        Raises:
            ConfigError: an unknown memory or option, or an impossible size.
        """
        options: dict[str, Any] = dict(self.memory_options)
        check_memory(self.memory, **options)  # first: no option may pose as one of make_memory's own arguments
        return make_memory(self.memory, input_size, self.hidden_size, num_layers=self.num_layers, key=key, **options)


@dataclass(frozen=True)
class WorldModelConfig:
    """A world model: which kind, how large; `MemoryConfig` is of the memory in it."""

    model: Literal["rssm", "mdn-rnn"] = "rssm"
    """rssm: a memory over discrete latents; mdn-rnn: a memory over observations, a mixture density over the next."""
    width: int = 64
    """Hidden units of each feed-forward part (encoder, prior, heads)."""
    observations: Literal["auto", "categorical", "binary", "continuous"] = "auto"
    """What observations are: one-hot, zeros and ones, or numbers; auto looks at some."""
    reward_bins: int = 0
    """0: the expected reward by its squared error. Else K: as a distribution over so many numbers, by cross-entropy,
    which tells rare and large rewards better (DreamerV3's symexp two-hot, there 255)."""
    latents: int = 8
    """rssm: G, discrete latents."""
    classes: int = 8
    """rssm: C, classes of each."""
    unimix: float = 0.01
    """rssm: share of the uniform distribution that is mixed into each latent's (DreamerV3's 1%)."""
    dynamics_weight: float = 1.0
    """rssm: weight of KL(stop(posterior) ‖ prior), which teaches the prior."""
    representation_weight: float = 0.1
    """rssm: weight of KL(posterior ‖ stop(prior)), which makes latents predictable."""
    free_nats: float = 1.0
    """rssm: below so many nats the representation is not pulled on any further. The dynamics always learn."""
    components: int = 5
    """mdn-rnn: K, normals in the mixture over a continuous observation."""
    end_weight: float = 1.0
    """How many times a step that ends its episode counts in learning which steps do; probabilities stay true."""

    def __post_init__(self):
        if self.model not in MODELS:
            raise ConfigError(f"There is no world model {self.model!r}.", "", did_you_mean(self.model, MODELS))
        if self.observations not in ("auto", *KINDS):
            raise ConfigError(f"observations = {self.observations!r}", "", did_you_mean(self.observations, KINDS))
        for name in ("width", "latents", "components"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} = {getattr(self, name)}", "It is a size.", "Give 1 or more.")
        if self.reward_bins < 0 or self.reward_bins == 1:
            raise ConfigError(
                f"reward_bins = {self.reward_bins}",
                "A reward lies between two numbers.",
                "Give 2 or more (an odd number has a 0 among them), or 0 for the squared error.",
            )
        if self.classes < 2:
            raise ConfigError(f"classes = {self.classes}", "A latent with one class says nothing.", "Give 2 or more.")
        if not 0.0 <= self.unimix < 1.0:
            raise ConfigError(f"unimix = {self.unimix}", "It is a share.", "Give 0 or more, below 1.")
        if not 0.0 < self.end_weight < float("inf"):
            raise ConfigError(f"end_weight = {self.end_weight}", "It weighs a loss.", "Give a number above 0.")
        for name in ("dynamics_weight", "representation_weight", "free_nats"):
            if not 0.0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"{name} = {getattr(self, name)}", "It weighs a loss.", "Give a number of 0 or more.")
