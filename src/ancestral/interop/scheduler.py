"""A schedule and a target as the config of a diffusers scheduler, both ways.

In diffusers, a scheduler is β_1..β_T and what the network predicts; the rest of its config says how to sample.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules, targets
from ancestral.base.errors import InputError
from ancestral.schedules import Schedule
from ancestral.targets import Target

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SCHEDULER_DEFAULTS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "use_flow_sigmas": False,
}
"""The defaults of each scheduler of SAME_PROCESS."""
SAME_PROCESS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
)
"""Schedulers that differ in how they sample, not in the forward process."""
MAX_T = 100_000


def obstacles(schedule: Schedule, target: Target) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield what a `DDPMScheduler` cannot represent of a process, each with settings that help."""
    if target.name not in PREDICTION:
        yield f"diffusers has no name for the target {target.name}, only for {', '.join(PREDICTION)}", {"target": "v"}
    off = (schedule.signal**2 + schedule.noise**2 - 1).abs().max()
    if off > 1e-9 or schedule.prior_std != 1:
        name = schedule.spec.get("name", "of this model")
        text = f"the schedule {name} does not keep signal² + noise² at 1 and start from unit noise"
        yield text, {"schedule": "cosine", "sigma_min": None, "sigma_max": None}


def to_config(schedule: Schedule, target: Target) -> dict[str, Any]:
    """Return the config of a `DDPMScheduler`, which samples as `samplers.DDPM` does.

    A schedule that diffusers knows is named, any other is written as its β_1..β_T.

    Raises:
        InputError: If a `DDPMScheduler` cannot represent the process.
    """
    for problem, _ in obstacles(schedule, target):
        raise InputError(problem)
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": schedule.steps,
        **_betas_config(schedule),
        "prediction_type": PREDICTION[target.name],
        "variance_type": "fixed_large",
        "clip_sample": True,
        "clip_sample_range": 1.0,
        "timestep_spacing": "trailing",
    }


def _betas_config(schedule: Schedule) -> dict[str, Any]:
    """The keys for this β_1..β_T: the name of a schedule, or the values. The float32 of diffusers rounds at 1e-8."""
    if schedule.spec.get("name") == "zero_terminal":
        return {**_betas_config(schedules.from_spec(schedule.spec["of"])), "rescale_betas_zero_snr": True}
    beta, T = schedule.beta[1:], schedule.steps
    start, end = (float(f"{float(value):.12g}") for value in (beta[0], beta[-1]))  # removes rounding errors
    for family in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        if torch.allclose(_table(family, T, start, end), beta, rtol=1e-9, atol=0):
            ends = {"beta_start": start, "beta_end": end} if "linear" in family else {}
            return {"beta_schedule": family, **ends}
    return {"beta_schedule": "linear", "trained_betas": schedule.spec.get("betas", beta.tolist())}


def _table(family: str, T: int, start: float, end: float) -> Tensor:
    """β_1..β_T as diffusers computes them, in float64."""
    if family == "linear":
        return torch.linspace(start, end, T, dtype=torch.float64)
    if family == "scaled_linear":
        return torch.linspace(math.sqrt(start), math.sqrt(end), T, dtype=torch.float64) ** 2
    return schedules.cosine(T).beta[1:]


def from_config(config: dict[str, Any]) -> tuple[Schedule, Target]:
    """Return the schedule and the target of a scheduler's config; raise InputError if it is not of DDPM's family."""
    name = config.get("_class_name", "DDPMScheduler")
    if name not in SAME_PROCESS:
        raise InputError(
            f"the scheduler {name} is for another process than DDPM's; ancestral reads {', '.join(SAME_PROCESS)}"
        )
    settings = {key: config.get(key, default) for key, default in SCHEDULER_DEFAULTS.items()}
    names = {theirs: ours for ours, theirs in PREDICTION.items()}
    prediction, flow = settings["prediction_type"], settings["use_flow_sigmas"]
    _require(
        not flow and isinstance(prediction, str) and prediction in names,
        f"the prediction_type {json.dumps(prediction)}{' and use_flow_sigmas' if flow else ''}; ancestral reads "
        f"{', '.join(names)}",
    )
    schedule = _schedule(settings)
    if settings["rescale_betas_zero_snr"]:
        schedule = schedules.zero_terminal(schedule)
    return schedule, targets.from_name(names[prediction])


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise InputError(f"the scheduler has {problem}")


def _schedule(settings: dict[str, Any]) -> Schedule:
    T, betas, family = settings["num_train_timesteps"], settings["trained_betas"], settings["beta_schedule"]
    start, end = settings["beta_start"], settings["beta_end"]
    _require(
        type(T) is int and 1 <= T <= MAX_T,
        f"num_train_timesteps {json.dumps(T)}; it should be a number from 1 up",
    )
    if betas is not None:
        whole = isinstance(betas, list) and len(betas) == T
        _require(
            whole and all(type(beta) is float and 0 < beta < 1 for beta in betas),
            f"trained_betas that should be {T} numbers between 0 and 1, as many as num_train_timesteps; import a model "
            "that has them",
        )
        return schedules.from_betas(betas)
    if family == "squaredcos_cap_v2":
        return schedules.cosine(T)
    _require(
        family in ("linear", "scaled_linear"),
        f"the beta_schedule {json.dumps(family)}; ancestral reads linear, scaled_linear and squaredcos_cap_v2, or any "
        "other as trained_betas",
    )
    _require(
        type(start) is float and type(end) is float and 0 < start <= end < 1,
        f"beta_start {json.dumps(start)} and beta_end {json.dumps(end)}; they should be numbers with 0 < beta_start <= "
        "beta_end < 1",
    )
    if family == "linear" and T == 1000:
        return schedules.linear(T, start, end)
    return schedules.from_betas(_table(family, T, start, end))  # for other T, schedules.linear keeps the curve of 1,000
