"""The laws that a policy with memory satisfies, in the order in which they are checked."""

from throughtime.proof.memcheck.law import Law

ANSWERS = Law(
    "policy/answers",
    "Every call returns: no exception, no hang.",
    "Each function is called with ordinary observations, for several batch sizes and lengths, with and without "
    "resets. A policy that fails on some of them fails in training as soon as a batch is cut that way. Laws that "
    "need the failing call are not checked; all others are.",
    "A batch size or a length written into the code; a squeeze() that also drops a batch axis of 1; a layer that "
    "needs more than one row; data on another device or of another dtype than the weights.",
)
SHAPES = Law(
    "policy/shapes",
    "Results are arrays of numbers with the axes [B, ...] or [T, B, ...].",
    "step returns (state, out) with out [B, ...], sequence (state, outs) with outs [T, B, ...], of the same "
    "structure; every array of the initial state has one row per episode. Whatever has another shape is broadcast "
    "silently somewhere in the loss, and then trains on the wrong numbers.",
    "Lists instead of arrays; batch-major output ([B, T, ...]) where time-major is asked for; a state without a "
    "batch axis, shared by all rows; a missing squeeze or one too many.",
)
FINITE = Law(
    "policy/finite",
    "Ordinary observations give no NaN.",
    "With observations of ordinary size and a fresh state no output is NaN (infinities, such as masked logits, are "
    "allowed). One NaN in a batch makes the loss and all weights NaN with the next update.",
    "0/0 in a normalisation whose statistics are still empty; the logarithm of a probability of 0; weights from a "
    "run that has already diverged.",
)
FORM = Law(
    "policy/state-keeps-form",
    "A state keeps its structure, shapes and dtypes from call to call.",
    "The state that a call returns is built like the one of initial_state. Where it is not, storing it for replay "
    "casts or broadcasts it, so that training starts from another state than acting did; jitted code compiles anew "
    "at each step, or refuses.",
    "np.zeros (float64) as the initial state of a float32 network; None as the initial state; the state of the first "
    "layer alone handed on; half precision in one place only.",
)
DETERMINISTIC = Law(
    "policy/deterministic",
    "The same call gives the same result: all memory is in the state.",
    "A call is repeated with the same arguments, with another one in between. If the result changes, something "
    "outside the state was remembered or drawn, and the log-probabilities of acting cannot be computed again in "
    "training: PPO's ratio starts away from 1.",
    "The hidden state kept inside the module (self.h, a stateful Keras layer); dropout or noise left on; sampled "
    "actions given as the output; an observation normaliser that learns while it is being called.",
)
VALUE = Law(
    "policy/state-is-a-value",
    "A call changes neither what it was given nor what was returned before.",
    "States, observations and resets are as they were after the call, and a state that was returned stays as it is "
    "when the next call runs. Otherwise every state stored in a rollout is the same, last one, and replay starts "
    "from the wrong place.",
    "state += ... or state[mask] = 0 in place; one buffer written at every step and returned each time without a copy.",
)
TIME_STAYS = Law(
    "policy/time-stays-time",
    "sequence reads obs[t, b] at step t of row b.",
    "Data of the axes [T, B] is read along T for each row. A reshape instead of a transposition cuts it into pieces "
    "that mix rows and times: each sequence then holds observations of several episodes in turn, and training learns "
    "next to nothing.",
    "obs.reshape(B, T, ...) on time-major data, where obs.swapaxes(0, 1) was meant; a batch_first=True that does not "
    "belong there (or is missing), so that the rows are read as time.",
)
ROWS = Law(
    "policy/rows-are-independent",
    "No row depends on another row of the batch.",
    "One row's observations stay, all others change; its outputs have to stay too. Rows are different episodes: what "
    "leaks between them is not there in the same way when the policy acts alone, or in another batch.",
    "Batch normalisation in training mode; a mean over the batch axis; one state shared by all environments; "
    "attention or softmax over the wrong axis.",
)
ORDER = Law(
    "policy/batch-order",
    "A row's place in the batch does not matter.",
    "The rows are given in another order, and the outputs have to come in that order. Otherwise states and outputs "
    "are attributed to other episodes than they belong to.",
    "Rows sorted by length (pack_padded_sequence) and not put back; a parameter or noise per environment number.",
)
SIZE = Law(
    "policy/batch-size",
    "A row alone gives what it gives in a batch.",
    "A policy acts in batches of one size and is trained in batches of another. Each row computed by itself has to "
    "equal the same row computed beside others.",
    "Something divided by the batch size; a code path of its own for one row; a buffer allocated for a fixed number "
    "of rows.",
)
CHANGES = Law(
    "policy/state-changes",
    "Observations change the state.",
    "After some steps the returned state differs from the one that was given. If it never does, the policy acts "
    "without memory however its network is built.",
    "The old state returned instead of the new one; the new state dropped by a wrapper or an export (an exported "
    "network whose hidden state is neither an input nor an output). A policy that is meant to have no memory says so "
    "with an empty state, ().",
)
MATTERS = Law(
    "policy/state-matters",
    "The state that is handed in changes what comes out.",
    "The same observations are given once with a fresh state and once with one that has read other observations, at "
    "several sizes of observation. If all outputs are equal to the last bit, the state was not read, and acting on "
    "it is acting without memory.",
    "The state not passed on to the network, which then starts from zeros at every call: evaluation or video without "
    "the recurrent state; a sequence that always starts from zeros although the rollout began in the middle of an "
    "episode.",
)
CAUSAL = Law(
    "policy/causal",
    "No output depends on a later observation.",
    "The second half of the observations changes, and the outputs of the first half have to stay. What training saw "
    "of the future is missing when the policy acts.",
    "A bidirectional network; attention without a causal mask; a normalisation over the time axis; a convolution "
    "padded on both sides.",
)
PADDING = Law(
    "policy/padding-is-ignored",
    "What follows the end of a sequence, even NaN, changes nothing before it.",
    "Sequences of different lengths are padded to one. The outputs before the padding, and where a gradient is given "
    "the gradient too, have to be those of the sequence alone, whatever the padding holds. (For the gradient the "
    "padding begins with a reset, for only a reset stops a NaN on the way back.)",
    "A division by the padded length; positions counted from the end; a mask applied by multiplication, for 0 · NaN "
    "= NaN.",
)
CHUNKS = Law(
    "policy/chunked-is-whole",
    "Two halves with the state handed over are the whole.",
    "Truncated BPTT cuts a rollout into pieces, each starting from the state in which the one before ended. Running "
    "the pieces one after the other has to give what running the whole gives.",
    "sequence returns the state of another step than the last, of one layer only, or of the hidden part without the "
    "cell; a clock or a position that starts at 0 with every call.",
)
STEP_IS_SEQUENCE = Law(
    "policy/step-is-sequence",
    "sequence gives what step gives, and step goes on from its state.",
    "From a fresh state, without resets, one call of sequence and T calls of step give the same outputs. If not, "
    "training computes other log-probabilities than acting did, and PPO corrects for a policy that never acted.",
    "Two implementations that drifted apart; an activation, a normalisation or a layer in one of them only; training "
    "mode (dropout) in one; another copy of the weights.",
)
PER_ROW = Law(
    "policy/reset-is-per-row",
    "A reset of one row leaves the others alone.",
    "Episodes end at different times. Rows whose flag is down have to go on as if nothing had happened.",
    "if reset.any(): state = initial_state(...); the flag of the first row used for all.",
)
NOT_EARLY = Law(
    "policy/reset-is-not-early",
    "A reset changes nothing before its own step.",
    "reset[t] says that obs[t] is the first observation of an episode; obs[t-1] still belongs to the one before, and "
    "its output has to use that episode's memory.",
    "The flag off by one: done[t] (the episode ends after step t) taken for reset[t] (it begins with step t).",
)
ACTS = Law(
    "policy/reset-acts",
    "A reset changes what comes after it.",
    "With the flag up the outputs differ from those without it. If they do not, the memory of one episode leaks into "
    "the next: the policy learns from what it will not have, and acts on what is over.",
    "The flag not passed on, or not used: an LSTM that is never reset on done; a sequence that is run from end to "
    "end over several episodes.",
)
BEFORE_READING = Law(
    "policy/reset-before-reading",
    "A reset acts before its own observation is read.",
    "The first output of an episode comes from the initial state and the first observation. A reset that acts one "
    "step later gives it the old episode's memory, and forgets the first observation, which is often the cue.",
    "The state reset after the network has run instead of before; resets shifted by one step against the observations.",
)
FRESH = Law(
    "policy/reset-is-a-fresh-start",
    "After a reset the policy is as new, whatever came before.",
    "From the reset on, outputs equal those of the same observations from initial_state, after two different pasts.",
    "Only a part of the state reset (h without c, one layer of several, not the previous action); zeros where the "
    "initial state is learned.",
)
FIRST_STEP = Law(
    "policy/reset-at-first-step",
    "A reset at the first step of a sequence counts.",
    "A sequence that starts with an episode gets a used state and reset[0] up; it has to start afresh all the same.",
    "A loop that begins at step 1; resets[1:] used to cut the sequence, so that the first flag is lost.",
)
LAST_STEP = Law(
    "policy/reset-at-last-step",
    "A reset at the last step of a sequence counts.",
    "The last output has to come from a fresh state, and so does what goes on from there.",
    "resets[:-1]; a loop over pieces that drops a last piece of one step.",
)
TWICE = Law(
    "policy/reset-twice-in-a-row",
    "Two resets in a row both count.",
    "An episode of a single step ends in the middle of a sequence: both flags are up, and both have to act.",
    "A flag that toggles; pieces of length one dropped; a reset that is looked for in the changes of an episode "
    "number.",
)
NAN = Law(
    "policy/reset-drops-nan",
    "No NaN survives a reset.",
    "State and observations before a reset are NaN; from the reset on all has to be as new. A single bad episode "
    "otherwise spoils its row for the rest of the run, and through the loss all weights.",
    "state * (1 - reset): 0 · NaN is NaN. Write where(reset, initial, state).",
)
GRADIENT = Law(
    "policy/reset-stops-gradient",
    "No gradient flows back across a reset.",
    "The gradient of outputs after a reset with respect to observations before it is exactly zero. Otherwise "
    "training credits one episode for what another did.",
    "The state overwritten behind the gradient's back (h.data[...] = 0); a reset of the value by adding a detached "
    "difference; a custom backward pass that does not know of resets.",
)

POLICY_LAWS: tuple[Law, ...] = (
    ANSWERS,
    SHAPES,
    FINITE,
    FORM,
    DETERMINISTIC,
    VALUE,
    TIME_STAYS,
    ROWS,
    ORDER,
    SIZE,
    CHANGES,
    MATTERS,
    CAUSAL,
    PADDING,
    CHUNKS,
    STEP_IS_SEQUENCE,
    PER_ROW,
    NOT_EARLY,
    ACTS,
    BEFORE_READING,
    FRESH,
    FIRST_STEP,
    LAST_STEP,
    TWICE,
    NAN,
    GRADIENT,
)
