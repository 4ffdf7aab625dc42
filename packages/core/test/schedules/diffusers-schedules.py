"""Writes diffusers-schedules.json: noise levels of diffusers and of Python's own normal law, to compare ours with.

    pip install torch diffusers numpy && python diffusers-schedules.py
"""

import json
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler

T = 1000
INDEX = [0, 1, 10, 100, 250, 500, 750, 998, 999]
BETA_SCHEDULES = {
    "linear": "linear",
    "cosine": "squaredcos_cap_v2",
    "scaled-linear": "scaled_linear",
    "sigmoid": "sigmoid",
}


def zero_terminal_snr(name):
    scheduler = DDPMScheduler(beta_schedule=name, rescale_betas_zero_snr=True)
    return {"beta": scheduler.betas[INDEX].tolist(), "alphaBar": scheduler.alphas_cumprod[INDEX].tolist()}


def ascending(sigmas):
    return np.asarray(sigmas, dtype=np.float64)[::-1][INDEX].tolist()


def converted(kind, low, high):
    """Sigmas of T steps between two levels, as Karras' rule or evenly in the logarithm."""
    convert = getattr(EulerDiscreteScheduler(), f"_convert_to_{kind}")
    return ascending(convert(in_sigmas=torch.tensor([high, low], dtype=torch.float64), num_inference_steps=T))


def edm(mean, deviation, low, high):
    law = NormalDist(mean, deviation)
    probabilities = np.linspace(law.cdf(math.log(low)), law.cdf(math.log(high)), T)
    return [math.exp(law.inv_cdf(probabilities[i])) for i in INDEX]


def timesteps():
    """Real-valued timesteps of noise levels between those of the linear schedule."""
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, T))
    log_sigmas = np.log(np.sqrt((1 - alpha_bar) / alpha_bar))
    sigma = np.array([0.001, 0.0123, 0.1, 0.5, 1, 7.7, 80, 157, 1000])
    return {"sigma": sigma.tolist(), "t": EulerDiscreteScheduler()._sigma_to_t(sigma, log_sigmas).tolist()}


content = {
    "t": INDEX,
    "zeroTerminalSnr": {name: zero_terminal_snr(theirs) for name, theirs in BETA_SCHEDULES.items()},
    "sigma": {
        "karras": converted("karras", 0.002, 80),
        "log-linear": converted("exponential", 0.02, 10),
        "edm": edm(-1.2, 1.2, 0.002, 80),
    },
    "timesteps": timesteps(),
}
Path(__file__).with_suffix(".json").write_text(json.dumps(content, separators=(",", ":")) + "\n")
