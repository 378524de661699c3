"""The laws of environments, in the order in which they are checked."""

from throughtime.proof.memcheck.law import Law

RUNS = Law(
    "environment/runs",
    "`reset` and `step` return what Gymnasium says, in time, and raise nothing.",
    "reset(seed=…) returns (observation, info), step(action) returns (observation, reward, terminated, truncated, "
    "info). What hangs or raises once in a million steps stops a training after hours.",
    "The API of before Gymnasium 0.26 (one `done`, no seed in reset), or a simulator that waits for a window.",
)
IN_SPACE = Law(
    "environment/observations-in-space",
    "Each observation lies in its space, with its shape and dtype.",
    "Networks take their sizes, and normalisers their bounds, from the space. An observation of another dtype is "
    "converted at every step, one out of bounds is clipped somewhere, silently.",
    "float64 from NumPy where the space says float32, or bounds written down before the reward was tuned.",
)
OBS_FINITE = Law(
    "environment/observations-finite",
    "No observation holds NaN or an infinity.",
    "One NaN in a recurrent state stays until the episode ends, and one in a batch reaches every weight.",
    "A division by a distance or a norm that can be zero.",
)
REWARD_FLOAT = Law(
    "environment/rewards-are-numbers",
    "A reward is one real number (one for each row).",
    "A reward of shape (1,) is broadcast against [B] into [B, B], and the loss is a mean over nonsense.",
    "Returning a NumPy array of one element.",
)
REWARD_FINITE = Law(
    "environment/rewards-finite",
    "No reward is NaN or infinite.",
    "Advantages sum rewards up backwards: one NaN reaches every step before it.",
    "A logarithm or a division in the reward.",
)
FLAG_TYPES = Law(
    "environment/flags-are-booleans",
    "`terminated` and `truncated` are booleans (one of each for each row).",
    "Code that indexes, inverts or adds flags does something else with integers: ~1 is −2, and that is true.",
    "Flags computed by arithmetic, or None where the author thought of only one of them.",
)
FLAGS_APART = Law(
    "environment/flags-apart",
    "Termination and truncation are told apart.",
    "After termination there is nothing more to win; after truncation the episode would have gone on, and its value "
    "has to be bootstrapped. With both flags up at every end nothing is ever bootstrapped.",
    "`return obs, reward, done, done, info` when an old environment was brought up to date.",
)
ENDS = Law(
    "environment/episodes-end",
    "Episodes end, at the time limit at the latest.",
    "An episode that runs on beyond the limit it declares is one that no return is ever reported for.",
    "A limit that is declared (`max_episode_steps`) and that no wrapper enforces.",
)
TIME_LIMIT = Law(
    "environment/time-limit-truncates",
    "An episode cut by the time limit is reported as truncated.",
    "Reported as terminated, the limit is a death that the observation does not announce: the values of all states "
    "sink, and an agent with a memory learns to count the steps to it.",
    "One `done = failed or steps >= limit`, returned as `terminated` (Memorax's Gymnasium wrapper, AMAGO #67).",
)
SEED = Law(
    "environment/seed-decides",
    "The same seed and the same actions give the same episode.",
    "Without that no run can be repeated, no bug reproduced, and no two agents compared on the same episodes.",
    "Drawing from `np.random` or `random` in place of `self.np_random`.",
)
NOTHING_LEFT = Law(
    "environment/reset-leaves-nothing-behind",
    "An episode does not depend on the ones before it.",
    "What is left over from the last episode makes the first steps of the next one depend on what the memory was "
    "just told to forget.",
    "A counter, a buffer or a velocity that `reset` does not set back.",
)
EPISODES_DIFFER = Law(
    "environment/episodes-differ",
    "Where a seed decides an episode, one episode is not the last one again, nor one row another.",
    "An agent that sees one episode over and over learns it by heart, and needs no observation, nor memory, at all.",
    "Seeding anew, with the same seed, at every reset or in every row.",
)
NOT_SHARED = Law(
    "environment/observations-not-shared",
    "An observation that was returned is not changed by later steps.",
    "A rollout that keeps the returned arrays then holds T times the last observation; nothing else shows it.",
    "Returning the environment's own buffer (`return self.state`), or a vector environment with `copy=False`.",
)
AUTORESET = Law(
    "environment/autoreset-mode",
    "The environment resets in the mode that its metadata says.",
    "The three modes of Gymnasium ≥ 1.0 put the final observation, the first one and the fake step in different "
    "places. Code written for one, run on another, trains on steps that never were.",
    "A wrapper that hands on the metadata of what it wraps and resets in its own way, or a single environment that "
    "resets itself.",
)
FINAL = Law(
    "environment/final-observation",
    "The true final observation of each episode is delivered.",
    "Truncation bootstraps from the value of the final observation. With same-step autoreset the returned one is "
    "already the next episode's first; the final one has to be in the infos (`final_obs`).",
    "Resetting before the infos are filled, or filling them with the observation before the last step.",
)
FAKE_STEP = Law(
    "environment/fake-step",
    "With next-step autoreset, the step after an end pays nothing and ends nothing.",
    "That step only resets: its action is ignored, and training has to leave it out. A reward there is counted for "
    "the next episode, an end there is one of an episode without steps.",
    "Handing on the last reward or the last flags once more.",
)

ENVIRONMENT_LAWS = (
    RUNS,
    IN_SPACE,
    OBS_FINITE,
    REWARD_FLOAT,
    REWARD_FINITE,
    FLAG_TYPES,
    FLAGS_APART,
    ENDS,
    TIME_LIMIT,
    SEED,
    NOTHING_LEFT,
    EPISODES_DIFFER,
    NOT_SHARED,
    AUTORESET,
    FINAL,
    FAKE_STEP,
)
