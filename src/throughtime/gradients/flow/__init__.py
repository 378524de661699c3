"""The gradient microscope: where gradients through time go, how far they reach, and what stops them."""

from throughtime.gradients.flow.contributions import Contributions as Contributions
from throughtime.gradients.flow.contributions import contributions as contributions
from throughtime.gradients.flow.contributions import step_gradients as step_gradients
from throughtime.gradients.flow.gates import gate_saturation as gate_saturation
from throughtime.gradients.flow.gates import recurrent_radii as recurrent_radii
from throughtime.gradients.flow.horizon import Horizon as Horizon
from throughtime.gradients.flow.horizon import gradient_horizon as gradient_horizon
from throughtime.gradients.flow.horizon import mean_log_norms as mean_log_norms
from throughtime.gradients.flow.jacobians import JacobianProducts as JacobianProducts
from throughtime.gradients.flow.jacobians import jacobian_products as jacobian_products
from throughtime.gradients.flow.jacobians import jacobian_radii as jacobian_radii
from throughtime.gradients.flow.jacobians import state_jacobians as state_jacobians
from throughtime.gradients.flow.lags import LagNorms as LagNorms
from throughtime.gradients.flow.lags import lag_norms as lag_norms
from throughtime.gradients.flow.measure import Flow as Flow
from throughtime.gradients.flow.measure import measure_flow as measure_flow
from throughtime.gradients.flow.verdict import FlowVerdict as FlowVerdict
from throughtime.gradients.flow.verdict import flow_verdict as flow_verdict
