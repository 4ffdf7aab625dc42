"""Writes diffusers-quirks.json: trajectories of diffusers' schedulers as their configurations ask for, quirks included.

The schedulers keep alphaBar in float32; it is replaced by its float64 value. Those in sigma keep sigma and the sample in float32 all
the same. The "network" is a list of random answers. Trajectories are written in the variance-preserving view.

    pip install torch diffusers numpy && python diffusers-quirks.py [FILE]
"""

import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch

WIDTH = 5
THRESHOLD = dict(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=2.5)
OFFSET = dict(timestep_spacing="leading", steps_offset=1)
LINSPACE, TRAILING = dict(timestep_spacing="linspace"), dict(timestep_spacing="trailing")
EPS, X0, V = (dict(prediction_type=name) for name in ("epsilon", "sample", "v_prediction"))
KARRAS = dict(use_karras_sigmas=True)
COSINE = dict(beta_schedule="squaredcos_cap_v2")
LAST = dict(final_sigmas_type="sigma_min")
AT_NOISE = dict(rescale_betas_zero_snr=True, **V)

CASES = [
    ("DDPMScheduler", 4, OFFSET | dict(variance_type="fixed_large"), {}),
    ("DDPMScheduler", 4, OFFSET, {}),
    ("DDPMScheduler", 3, TRAILING | X0 | dict(variance_type="fixed_large"), {}),
    ("DDPMScheduler", 5, LINSPACE | V | dict(variance_type="fixed_small_log"), {}),
    ("DDPMScheduler", 4, THRESHOLD, {}),
    ("DDPMScheduler", 4, TRAILING | AT_NOISE, {}),
    ("DDIMScheduler", 4, OFFSET | dict(set_alpha_to_one=False), {"eta": 0.6}),
    ("DDIMScheduler", 4, dict(set_alpha_to_one=False, clip_sample=False), {"eta": 0.0}),
    ("DDIMScheduler", 7, LINSPACE | V, {"eta": 0.0}),
    ("DDIMScheduler", 6, TRAILING | X0 | dict(set_alpha_to_one=False), {"eta": 1.0}),
    ("DDIMScheduler", 4, OFFSET | THRESHOLD, {"eta": 0.3}),
    ("DDIMScheduler", 4, V | THRESHOLD | dict(sample_max_value=1.0), {"eta": 0.0}),
    ("DDIMScheduler", 3, TRAILING | AT_NOISE, {"eta": 0.0}),
    ("EulerDiscreteScheduler", 4, LINSPACE, {}),
    ("EulerDiscreteScheduler", 4, OFFSET | V, {}),
    ("EulerDiscreteScheduler", 3, TRAILING | LAST | X0, {}),
    ("EulerDiscreteScheduler", 5, OFFSET | KARRAS, {}),
    ("EulerDiscreteScheduler", 4, LINSPACE | KARRAS | COSINE | V, {}),
    ("EulerDiscreteScheduler", 3, TRAILING | AT_NOISE, {}),
    ("EulerAncestralDiscreteScheduler", 4, LINSPACE | V, {}),
    ("EulerAncestralDiscreteScheduler", 4, OFFSET, {}),
    ("EulerAncestralDiscreteScheduler", 3, TRAILING | AT_NOISE, {}),
    ("HeunDiscreteScheduler", 4, LINSPACE, {}),
    ("HeunDiscreteScheduler", 4, OFFSET | V | dict(clip_sample=True, clip_sample_range=2.0), {}),
    ("HeunDiscreteScheduler", 3, TRAILING | KARRAS | X0, {}),
    ("DPMSolverMultistepScheduler", 4, LINSPACE | V, {}),
    ("DPMSolverMultistepScheduler", 5, OFFSET, {}),
    ("DPMSolverMultistepScheduler", 5, TRAILING | LAST | X0, {}),
    ("DPMSolverMultistepScheduler", 16, TRAILING | LAST | V, {}),
    ("DPMSolverMultistepScheduler", 4, KARRAS | V, {}),
    ("DPMSolverMultistepScheduler", 4, KARRAS | COSINE | V, {}),
    ("DPMSolverMultistepScheduler", 4, LINSPACE | THRESHOLD, {}),
    ("DPMSolverMultistepScheduler", 4, TRAILING | AT_NOISE, {}),
    ("DPMSolverMultistepScheduler", 4, LINSPACE | V | dict(algorithm_type="sde-dpmsolver++"), {}),
    ("DPMSolverMultistepScheduler", 16, LINSPACE | LAST | V | dict(algorithm_type="sde-dpmsolver++"), {}),
    ("UniPCMultistepScheduler", 4, LINSPACE | V, {}),
    ("UniPCMultistepScheduler", 5, OFFSET, {}),
    ("UniPCMultistepScheduler", 5, TRAILING | LAST | X0, {}),
    ("UniPCMultistepScheduler", 4, KARRAS | V, {}),
    ("UniPCMultistepScheduler", 4, LINSPACE | THRESHOLD, {}),
    ("UniPCMultistepScheduler", 4, TRAILING | AT_NOISE, {}),
]


def alpha_bar(config):
    T = config["num_train_timesteps"]
    if config["beta_schedule"] == "squaredcos_cap_v2":
        f = lambda u: np.cos((u + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.array([min(1 - f((t + 1) / T) / f(t / T), 0.999) for t in range(T)])
    else:
        betas = np.linspace(config["beta_start"], config["beta_end"], T)
    signal = np.sqrt(np.cumprod(1 - betas))
    if config.get("rescale_betas_zero_snr"):
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
    return signal**2


def run(name, steps, config, options, seed):
    scheduler = getattr(diffusers, name)(**config)
    exact = torch.tensor(alpha_bar(scheduler.config))
    in_sigma = name not in ("DDPMScheduler", "DDIMScheduler")
    exploding = name.startswith("Euler") or name.startswith("Heun")
    if in_sigma and exact[-1] == 0:
        exact[-1] = 2**-24
    scheduler.alphas_cumprod = exact
    if hasattr(scheduler, "final_alpha_cumprod") and not scheduler.config.set_alpha_to_one:
        scheduler.final_alpha_cumprod = exact[0]
    scheduler.set_timesteps(steps)
    scale = lambda i: (scheduler.sigmas[i].double() ** 2 + 1) ** 0.5 if exploding else 1
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(1, WIDTH, 1)))
    out = {"xT": x.flatten().tolist(), "told": [], "predictions": [], "noises": [], "x": [], "x0": []}
    x = x * scale(0)
    for i, t in enumerate(scheduler.timesteps):
        prediction = torch.tensor(rng.normal(size=(1, WIDTH, 1)))
        noise = torch.randn(1, WIDTH, 1, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        extra = dict(options)
        if name in ("DDPMScheduler", "EulerAncestralDiscreteScheduler"):
            extra["generator"] = torch.Generator().manual_seed(i)
        elif name == "DDIMScheduler" or "sde" in str(scheduler.config.get("algorithm_type")):
            extra["variance_noise"] = noise
        scheduler.scale_model_input(x, t)
        result = scheduler.step(prediction, t if in_sigma else t.item(), x, **extra)
        x = result.prev_sample.double()
        out["told"].append(t.item())
        out["predictions"].append(prediction.flatten().tolist())
        out["noises"].append(noise.flatten().tolist())
        out["x"].append((x / scale(i + 1)).flatten().tolist())
        if "pred_original_sample" in result:
            out["x0"].append(result.pred_original_sample.flatten().tolist())
    return {"steps": steps, "options": options, "config": json.loads(scheduler.to_json_string().replace("-Infinity", "null")), **out}


def main():
    cases = [run(*case, seed=i) for i, case in enumerate(CASES)]
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")


main()
