"""Samplers of flow models that are classes of diffusers, each as a `Solver` of its own.

Knows how each class wants its shift.
"""

from typing import Any

import diffusers
import numpy as np

from lafi.model.scheduler_classes import EVEN_LEVELS
from lafi.sampling.diffusers_solver import DiffusersSolver
from lafi.sampling.solver import Solver, SolverPlan

_DPMPP = {"solver_type": "midpoint", "solver_order": 2}


def flow_scheduler(plan: SolverPlan, class_name: str = "FlowMatchEulerDiscreteScheduler") -> Any:
    """A flow scheduler of diffusers with the plan's noise levels in `sigmas`, 0 at their end.

    With a fixed shift they are the scheduler's own, as Stable Diffusion 3's pipeline takes them.
    Where the shift follows the picture's size, and where the config says `EVEN_LEVELS`, they are
    1, 1 - 1/N ... 1/N before the shift.
    """
    assert plan.shift is not None
    by_size = plan.shift.mu is not None
    options: dict[str, Any] = plan.sigma_options() | {"use_dynamic_shifting": by_size}
    if by_size:
        options["time_shift_type"] = plan.shift.kind
    else:
        options["shift"] = plan.shift.value
    config = {name: value for name, value in plan.config.items() if name != EVEN_LEVELS}
    scheduler = getattr(diffusers, class_name).from_config(config, **options)
    if by_size or plan.config.get(EVEN_LEVELS):
        sigmas = np.linspace(1.0, 1.0 / plan.total, plan.total)
        scheduler.set_timesteps(sigmas=sigmas, mu=plan.shift.mu)
    else:
        scheduler.set_timesteps(plan.total)
    return scheduler


def euler(plan: SolverPlan) -> Solver:
    """Euler's method on the flow (arXiv:2209.03003)."""
    return DiffusersSolver(flow_scheduler(plan), plan)


def lcm(plan: SolverPlan) -> Solver:
    """The predicted picture with new noise at the next level, for distilled models."""
    return DiffusersSolver(flow_scheduler(plan, "FlowMatchLCMScheduler"), plan)


def euler_ancestral(plan: SolverPlan) -> Solver:
    """Euler's method to below the next level, and noise up to it, on a rectified flow.

    eta 0 adds no noise; 1, the default, most.
    """
    eta = 1.0 if plan.stage.eta is None else plan.stage.eta
    scheduler = diffusers.LTXEulerAncestralRFScheduler(
        num_train_timesteps=plan.noise_model.last_timestep, eta=eta, s_noise=plan.stage.s_noise
    )
    scheduler.set_timesteps(sigmas=flow_scheduler(plan).sigmas)
    return DiffusersSolver(scheduler, plan)


def heun(plan: SolverPlan) -> Solver:
    """Heun's method, two calls a step but the last (arXiv:2206.00364, algorithm 1)."""
    assert plan.shift is not None
    scheduler = diffusers.FlowMatchHeunDiscreteScheduler(
        num_train_timesteps=plan.noise_model.last_timestep, shift=plan.shift.value
    )
    scheduler.set_timesteps(plan.total)
    return DiffusersSolver(scheduler, plan)


def _with_flow_sigmas(plan: SolverPlan, class_name: str, **options: Any) -> Solver:
    assert plan.shift is not None
    scheduler = getattr(diffusers, class_name)(
        num_train_timesteps=plan.noise_model.last_timestep,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=plan.shift.value,
        **options,
    )
    scheduler.set_timesteps(plan.total)
    return DiffusersSolver(scheduler, plan)


def unipc(plan: SolverPlan) -> Solver:
    """UniPC (arXiv:2302.04867); its timesteps are whole numbers, as diffusers has them."""
    return _with_flow_sigmas(plan, "UniPCMultistepScheduler")


def dpmpp_2m(plan: SolverPlan) -> Solver:
    """Multistep DPM-Solver++ of order 2 (arXiv:2211.01095, algorithm 2)."""
    return _with_flow_sigmas(
        plan, "DPMSolverMultistepScheduler", algorithm_type="dpmsolver++", **_DPMPP
    )


def dpmpp_2m_sde(plan: SolverPlan) -> Solver:
    """The same of the stochastic equation (arXiv:2211.01095, appendix A)."""
    return _with_flow_sigmas(
        plan, "DPMSolverMultistepScheduler", algorithm_type="sde-dpmsolver++", **_DPMPP
    )
