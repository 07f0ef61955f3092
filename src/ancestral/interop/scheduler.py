"""Our schedule and target as the config of a diffusers scheduler, and back.

A scheduler there is its β_1..β_T and what the network predicts; the rest of its config says how to sample.
"""

import json
import math
from typing import Any

import torch
from torch import Tensor

from ancestral import schedules, targets
from ancestral.errors import InputError
from ancestral.schedules import Schedule
from ancestral.targets import Target

PREDICTION = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
DEFAULTS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 1e-4,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "use_flow_sigmas": False,
}
"""What a key means that is not there, in each scheduler of SAME."""
SAME = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
)
"""The schedulers that differ in how they sample, not in the process that they undo."""
HIGHEST_T = 100_000


def to_config(schedule: Schedule, target: Target) -> dict[str, Any]:
    """The config of a `DDPMScheduler`, which samples as our DDPM does. Raises InputError for other processes.

    A table of β that diffusers makes itself is named; any other is written out.
    """
    if target.name not in PREDICTION:
        raise InputError(
            f"diffusers has no name for the target {target.name}: a DDPMPipeline takes {', '.join(PREDICTION)}; "
            "train with one of these, or use --to onnx"
        )
    off = (schedule.signal**2 + schedule.noise**2 - 1).abs().max()
    if off > 1e-9 or schedule.prior_std != 1:
        name = schedule.spec.get("name", "of this model")
        raise InputError(
            f"the schedule {name} does not keep signal² + noise² at 1 and start from unit noise, as a DDPMScheduler "
            "does; train with --schedule linear or cosine, or use --to onnx"
        )
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
    """The keys that make diffusers compute this table, or hold it. Its own float32 rounds at 1e-8."""
    if schedule.spec.get("name") == "zero_terminal":
        return {**_betas_config(schedules.from_spec(schedule.spec["of"])), "rescale_betas_zero_snr": True}
    beta, T = schedule.beta[1:], schedule.steps
    start, end = (float(f"{float(value):.12g}") for value in (beta[0], beta[-1]))  # as they were typed, once
    for family in ("linear", "scaled_linear", "squaredcos_cap_v2"):
        if torch.allclose(_table(family, T, start, end), beta, rtol=1e-9, atol=0):
            ends = {"beta_start": start, "beta_end": end} if "linear" in family else {}
            return {"beta_schedule": family, **ends}
    return {"beta_schedule": "linear", "trained_betas": schedule.spec.get("betas", beta.tolist())}


def _table(family: str, T: int, start: float, end: float) -> Tensor:
    """β_1..β_T as diffusers makes them, in float64."""
    if family == "linear":
        return torch.linspace(start, end, T, dtype=torch.float64)
    if family == "scaled_linear":
        return torch.linspace(math.sqrt(start), math.sqrt(end), T, dtype=torch.float64) ** 2
    return schedules.cosine(T).beta[1:]


def from_config(config: dict[str, Any]) -> tuple[Schedule, Target]:
    """The schedule and the target of a scheduler's config. Raises InputError for what is not of DDPM's family."""
    name = config.get("_class_name", "DDPMScheduler")
    if name not in SAME:
        raise InputError(f"the scheduler {name} is of another process than DDPM's; ancestral reads {', '.join(SAME)}")
    asked = {key: config.get(key, default) for key, default in DEFAULTS.items()}
    by_prediction = {theirs: ours for ours, theirs in PREDICTION.items()}
    prediction = asked["prediction_type"]
    if asked["use_flow_sigmas"] or not isinstance(prediction, str) or prediction not in by_prediction:
        raise InputError(
            f"the scheduler has the prediction_type {json.dumps(prediction)}"
            f"{' and use_flow_sigmas' if asked['use_flow_sigmas'] else ''}; ancestral reads {', '.join(by_prediction)}"
        )
    schedule = _schedule(asked)
    if asked["rescale_betas_zero_snr"]:
        schedule = schedules.zero_terminal(schedule)
    return schedule, targets.from_name(by_prediction[prediction])


def _schedule(asked: dict[str, Any]) -> Schedule:
    T, betas, family = asked["num_train_timesteps"], asked["trained_betas"], asked["beta_schedule"]
    if type(T) is not int or not 1 <= T <= HIGHEST_T:
        raise InputError(f"the scheduler has num_train_timesteps {json.dumps(T)}; it should be a number from 1 up")
    if betas is not None:
        if (
            not isinstance(betas, list)
            or len(betas) != T
            or not all(type(beta) is float and 0 < beta < 1 for beta in betas)
        ):
            raise InputError(
                f"the scheduler's trained_betas should be {T} numbers between 0 and 1, as many as num_train_timesteps; "
                "import a model that has them"
            )
        return schedules.from_betas(betas)
    if family == "squaredcos_cap_v2":
        return schedules.cosine(T)
    if family not in ("linear", "scaled_linear"):
        raise InputError(
            f"the scheduler has the beta_schedule {json.dumps(family)}; ancestral reads linear, scaled_linear and "
            "squaredcos_cap_v2, or any other as trained_betas"
        )
    start, end = asked["beta_start"], asked["beta_end"]
    if type(start) is not float or type(end) is not float or not 0 < start <= end < 1:
        raise InputError(
            f"the scheduler has beta_start {json.dumps(start)} and beta_end {json.dumps(end)}; they should be numbers "
            "with 0 < beta_start <= beta_end < 1"
        )
    if family == "linear" and T == 1000:
        return schedules.linear(T, start, end)
    return schedules.from_betas(_table(family, T, start, end))  # our own linear keeps the curve of 1,000 steps
