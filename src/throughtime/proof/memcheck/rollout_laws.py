"""The laws of recorded rollouts, in the order in which they are checked."""

from throughtime.proof.memcheck.law import Law

SHAPES = Law(
    "rollout/shapes",
    "All arrays agree in their leading axes, and flags are booleans.",
    "Every array of a rollout is time-major, [T, B, ...]; those of sequences are [L, N, ...]. Arrays that disagree "
    "are broadcast against each other without a word, and a loss over [T, T] or [B, T] trains on nonsense.",
    "Batch-major arrays beside time-major ones, or rewards with a last axis of 1 beside values without it.",
)
FINITE = Law(
    "rollout/finite",
    "No recorded number is NaN or infinite.",
    "One NaN in an observation, a reward or a value reaches every weight with the next update, and an agent whose "
    "weights are NaN goes on acting without a word.",
    "An environment that divides by zero, or a policy whose log-probability of a clipped action is −∞.",
)
NO_FAKE_STEPS = Law(
    "rollout/no-fake-steps",
    "No step that only resets an environment is trained on.",
    "With next-step autoreset (Gymnasium 1.x's default for vector environments) the step after an end ignores the "
    "action, pays no reward and returns the next episode's first observation. As a transition it says that the final "
    "observation leads there whatever is done: it must be masked, in the loss and in the advantages.",
    "A loop written for same-step autoreset, run on Gymnasium ≥ 1.0 (cleanrl #499).",
)
RESETS = Law(
    "rollout/resets-at-first-observations",
    "The reset flag is up exactly where the observation is the first of its episode.",
    "resets[t + 1] = terminated[t] or truncated[t]. A flag that comes late lets an episode begin with the memory of "
    "the one before; one that comes early wipes the memory before the episode's last step.",
    "Storing the done flag of step t beside observation t, where that of step t − 1 belongs "
    "(JaxMARL #119, Mava #1006, purejaxrl #23).",
)
STATE_BEFORE = Law(
    "rollout/state-before-observation",
    "The state stored for a step is the one before its observation is read.",
    "Replay reads obs_t with the stored state; stored after the observation, that state has read it already, and "
    "training sees every sequence's first observation twice.",
    "Storing the state that `step` returned beside the observation it was given (Acme #259, Stoix).",
)
RESET_CLEARS = Law(
    "rollout/reset-clears-memory",
    "While acting, a reset replaced the state before the first observation of an episode.",
    "Flags that only the update obeys make acting and training two policies: the agent acts with what it remembers "
    "of another episode, and its log-probabilities do not replay.",
    "An acting loop that carries the state on and never looks at the flag (PufferLib v3).",
)
LOG_PROBS = Law(
    "rollout/log-probs-replay",
    "Log-probabilities replayed from the stored states equal those recorded: PPO's first ratio is 1.",
    "Before the first gradient step nothing has changed, so each ratio is exp(0) = 1. Any other ratio is weighted "
    "and clipped as if the policy had moved, and the gradient is that of another objective.",
    "Clipped or rescaled actions stored in place of those drawn, dropout left on, or an input (previous action, "
    "previous reward) that training builds in another way than acting.",
)
VALUES = Law(
    "rollout/values-replay",
    "Values replayed from the stored states equal those recorded.",
    "Advantages and clipped value losses compare the recorded values with those of training; where they differ from "
    "the start, the critic chases its own recording error.",
    "A critic with a memory of its own whose state is not stored, or values taken one step off.",
)
BOOTSTRAP = Law(
    "rollout/bootstrap-values",
    "V(final observation) and V(obs_T) are read with the memory carried into them.",
    "Where an episode is truncated, and where the rollout ends, the return goes on in the value of the true "
    "successor: the observation that came next in that episode, read with that episode's memory.",
    "Valuing the final observation with a fresh memory, or the next episode's first observation in its place.",
)
ADVANTAGES = Law(
    "rollout/advantages-by-definition",
    "Advantages equal GAE(λ), with terminated and truncated apart.",
    "δ_t = r_t + γ (1 − terminated_t) V(next_t) − V_t and A_t = δ_t + γλ (1 − ended_t) A_{t+1}, where next_t is the "
    "true successor: the final observation where the episode was truncated (Schulman et al. 2016, equation 16). A "
    "truncation taken for a termination teaches that time limits are deadly; a trace that is not cut pays one "
    "episode for the next.",
    "One `done` in place of two flags (AMAGO #67), used one step late (Stoix), or V(s_t) for V(s_final) "
    "(skrl, rsl_rl).",
)
RETURNS = Law(
    "rollout/returns-by-definition",
    "The value targets are advantages + values.",
    "TD(λ)'s target is what GAE adds to the recorded value. Targets of another kind are possible; then leave "
    "`returns` out.",
    "Targets made of standardised advantages, or of values after the update.",
)
CONTIGUOUS = Law(
    "rollout/sequences-contiguous",
    "Down each sequence time goes on step by step, in one environment.",
    "Backpropagation through time over steps that did not follow each other trains the memory on a past that never "
    "was.",
    "A bare `reshape` of [T, B] into sequences, which strides over environments and time (Stoix, Mava).",
)
ALIGNED = Law(
    "rollout/sequences-aligned",
    "All arrays of a sequence come from the same steps.",
    "An advantage beside another step's action pushes that action for what another one did.",
    "Reshaping or shuffling some arrays in another way than the rest.",
)
APART = Law(
    "rollout/sequences-keep-episodes-apart",
    "A sequence carries its steps' reset flags, or its mask ends it where the episode does.",
    "A sequence that runs into the next episode without a flag teaches the memory to carry what acting will wipe; a "
    "flag in mid-episode wipes what acting carries.",
    "Replay windows drawn without looking where episodes end (rl-blox #213, mbrl-lib #95).",
)
START_STATES = Law(
    "rollout/sequences-start-states",
    "Each sequence starts from the state stored for its first step.",
    "A sequence cut from the middle of an episode starts in the middle of a memory. Zeros, or another sequence's "
    "state, give every step of it another past than it was acted with.",
    "Zero states at the start of every chunk, or states joined in another order than the sequences.",
)
BURN_IN = Law(
    "rollout/burn-in-has-no-gradient",
    "No gradient flows through the burn-in steps.",
    "Burn-in only brings a stale stored state up to date (Kapturowski et al. 2019). With a gradient it is an "
    "unroll of greater length, whose first steps have no loss and a wrong state.",
    "A missing stop-gradient on the state after burn-in (Acme's R2D2).",
)
PADDING = Law(
    "rollout/padding-leaves-loss",
    "The loss is the same whatever the padding holds, and however much of it there is.",
    "Sequences of unequal length are padded, and the padding is no experience. Where it counts, even only in the "
    "denominator of a mean, the loss depends on which lengths happened to be batched together.",
    "A mean over all elements in place of the masked ones (ray #21392, sb3-contrib #75, pytorch/rl #3711).",
)
NAN_PADDING = Law(
    "rollout/nan-padding-leaves-loss",
    "Padding may hold NaN without reaching the loss.",
    "0 · NaN is NaN: a mask that multiplies lets through what it should stop. Uninitialised or divided padding "
    "then destroys the weights once in a while.",
    "Masking by multiplication in place of a select (memax).",
)

ROLLOUT_LAWS = (
    SHAPES,
    FINITE,
    NO_FAKE_STEPS,
    RESETS,
    STATE_BEFORE,
    RESET_CLEARS,
    LOG_PROBS,
    VALUES,
    BOOTSTRAP,
    ADVANTAGES,
    RETURNS,
    CONTIGUOUS,
    ALIGNED,
    APART,
    START_STATES,
    BURN_IN,
    PADDING,
    NAN_PADDING,
)
