"""Writes diffusers-steps.json: trajectories, timesteps and betas of diffusers' schedulers, to compare ours with.

The schedulers keep alphaBar in float32; it is replaced by its float64 value, so that the comparison can be close. The
"network" is a list of random answers, large enough to make x0 clip. Step counts divide 1000: for others DDIMScheduler goes
to t - 1000 // steps, which is not the next timestep of its own list.

    pip install torch diffusers numpy && python diffusers-steps.py
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler

T = 1000
WIDTH = 3
BETA_SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}


def linear():
    return np.linspace(1e-4, 0.02, T)


def cosine():
    f = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.array([min(1 - f((t + 1) / T) / f(t / T), 0.999) for t in range(T)])


def trajectory(scheduler, alpha_bar, steps, seed, **step_options):
    scheduler.alphas_cumprod = torch.tensor(alpha_bar)
    scheduler.set_timesteps(steps)
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(1, WIDTH)))
    out = {"xT": x[0].tolist(), "t": scheduler.timesteps.tolist(), "predictions": [], "noises": [], "x": [], "x0": []}
    for i, t in enumerate(scheduler.timesteps.tolist()):
        prediction = torch.tensor(rng.normal(size=(1, WIDTH)) * 1.2)
        if isinstance(scheduler, DDIMScheduler):
            noise = torch.tensor(rng.normal(size=(1, WIDTH)))
            result = scheduler.step(prediction, t, x, variance_noise=noise, **step_options)
        else:
            generator = torch.Generator().manual_seed(i)
            noise = torch.randn(1, WIDTH, generator=generator, dtype=torch.float64)
            result = scheduler.step(prediction, t, x, generator=generator.manual_seed(i))
        x = result.prev_sample
        assert x.dtype == torch.float64
        out["predictions"].append(prediction[0].tolist())
        out["noises"].append(noise[0].tolist())
        out["x"].append(x[0].tolist())
        out["x0"].append(result.pred_original_sample[0].tolist())
    return out


def main():
    cases = []
    for schedule, betas in {"linear": linear(), "cosine": cosine()}.items():
        alpha_bar = np.cumprod(1 - betas)
        for predict, prediction_type in PREDICTIONS.items():
            common = dict(beta_schedule=BETA_SCHEDULES[schedule], prediction_type=prediction_type)
            for eta in (0.0, 0.6):
                scheduler = DDIMScheduler(**common)
                result = trajectory(scheduler, alpha_bar, 5, seed=len(cases), eta=eta)
                cases.append({"sampler": "ddim", "eta": eta, "schedule": schedule, "predict": predict, **result})
            for variance in ("fixed_small", "fixed_large"):
                scheduler = DDPMScheduler(**common, variance_type=variance)
                result = trajectory(scheduler, alpha_bar, 5, seed=len(cases))
                variance = variance.replace("_", "-")
                cases.append({"sampler": "ddpm", "variance": variance, "schedule": schedule, "predict": predict, **result})

    timesteps = []
    for spacing in ("leading", "trailing", "linspace"):
        for steps in (1, 3, 7, 10, 13, 48):
            scheduler = DDPMScheduler(timestep_spacing=spacing)
            scheduler.set_timesteps(steps)
            timesteps.append({"spacing": spacing, "steps": steps, "t": scheduler.timesteps.tolist()})

    index = [0, 1, 10, 100, 250, 500, 750, 999]
    schedules = {}
    for name, theirs in {**BETA_SCHEDULES, "scaled-linear": "scaled_linear", "sigmoid": "sigmoid"}.items():
        scheduler = DDPMScheduler(beta_schedule=theirs)
        schedules[name] = {
            "t": index,
            "beta": scheduler.betas[index].tolist(),
            "alphaBar": scheduler.alphas_cumprod[index].tolist(),
        }
    content = {"trajectories": cases, "timesteps": timesteps, "schedules": schedules}
    Path(__file__).with_suffix(".json").write_text(json.dumps(content, separators=(",", ":")) + "\n")


main()
