"""Floor 3: gradients through time, and how to keep them in bounds."""

from throughtime.gradients.bptt import unroll_checkpointed as unroll_checkpointed
from throughtime.gradients.bptt import unroll_truncated as unroll_truncated
from throughtime.gradients.clipping import clip_by_global_norm as clip_by_global_norm
from throughtime.gradients.clipping import clip_by_value as clip_by_value
from throughtime.gradients.clipping import global_norm as global_norm
from throughtime.gradients.rtrl import rtrl_gradient as rtrl_gradient
