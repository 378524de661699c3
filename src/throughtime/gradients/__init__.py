"""Floor 3: gradients through time, and how to keep them in bounds."""

from throughtime.gradients.bptt import unroll_truncated as unroll_truncated
from throughtime.gradients.checkpointing import checkpointed_bytes as checkpointed_bytes
from throughtime.gradients.checkpointing import checkpointed_loss as checkpointed_loss
from throughtime.gradients.checkpointing import segment_for_budget as segment_for_budget
from throughtime.gradients.checkpointing import unroll_checkpointed as unroll_checkpointed
from throughtime.gradients.clipping import Clipping as Clipping
from throughtime.gradients.clipping import check_clipping as check_clipping
from throughtime.gradients.clipping import clip as clip
from throughtime.gradients.clipping import clip_adaptive as clip_adaptive
from throughtime.gradients.clipping import clip_by_global_norm as clip_by_global_norm
from throughtime.gradients.clipping import clip_by_value as clip_by_value
from throughtime.gradients.clipping import clip_per_layer as clip_per_layer
from throughtime.gradients.clipping import global_norm as global_norm
from throughtime.gradients.flow import Flow as Flow
from throughtime.gradients.flow import measure_flow as measure_flow
from throughtime.gradients.guard import Guard as Guard
from throughtime.gradients.guard import parameter_names as parameter_names
from throughtime.gradients.rtrl import rtrl_gradient as rtrl_gradient
from throughtime.gradients.unfolding import Unfolded as Unfolded
from throughtime.gradients.unfolding import unfold as unfold
