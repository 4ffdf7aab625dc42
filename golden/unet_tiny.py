"""Computes fixture.safetensors of unet-ddpm-tiny/ and unet-heads-tiny/ from the pipelines and the random inputs stored
there: output, loss and gradients of one batch, ten steps of AdamW on it, a DDIM and a DDPM trajectory of ten steps.
float32, one thread, CPU. Needs torch, diffusers 0.40 and safetensors.

    python golden/unet_tiny.py           compares with the stored numbers
    python golden/unet_tiny.py --write   replaces them
"""

import pathlib
import sys

import diffusers
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from safetensors import safe_open
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parent
STEPS = 10


def load_model(folder):
    return UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False)


def load_inputs(path):
    """What was drawn at random, once: x0, noise, timesteps, xT and the noise of the DDPM trajectory."""
    with safe_open(path, "pt") as file:
        names = [n for n in file.keys() if n in ("x0", "noise", "timesteps", "xT") or n.startswith("ddpm.noise.")]
        return {name: file.get_tensor(name) for name in names}


def one_batch(model, scheduler, inputs):
    x0, noise, timesteps = inputs["x0"], inputs["noise"], inputs["timesteps"]
    xt = scheduler.add_noise(x0, noise, timesteps)
    predicts_noise = scheduler.config.prediction_type == "epsilon"
    target = noise if predicts_noise else scheduler.get_velocity(x0, noise, timesteps)
    return xt, target


def training(folder, scheduler, inputs):
    model = load_model(folder).train()
    xt, target = one_batch(model, scheduler, inputs)
    output = model(xt, inputs["timesteps"]).sample
    loss = torch.nn.functional.mse_loss(output, target)
    loss.backward()
    results = {"xt": xt, "target": target, "output": output.detach(), "loss": loss.detach().reshape(1)}
    results.update({f"grad.{name}": value.grad.clone() for name, value in model.named_parameters()})

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2)
    losses, norms = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(xt, inputs["timesteps"]).sample, target)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0))
        losses.append(loss.detach())
        optimizer.step()
    results["adamw.losses"] = torch.stack(losses)
    results["adamw.grad_norms"] = torch.stack(norms).detach()
    return results


@torch.no_grad()
def trajectories(folder, scheduler, inputs):
    model = load_model(folder).eval()
    results = {}
    ddim = DDIMScheduler.from_config(scheduler.config)
    ddim.set_timesteps(STEPS)
    results["ddim.timesteps"] = ddim.timesteps.clone()
    x = inputs["xT"]
    for i, t in enumerate(ddim.timesteps):
        x = ddim.step(model(x, t).sample, t, x, eta=0.0).prev_sample
        results[f"ddim.{i}"] = x

    # DDPMScheduler draws its own noise, so the stored noise is put in the place of its generator's.
    ddpm = DDPMScheduler.from_config(scheduler.config)
    ddpm.set_timesteps(STEPS)
    results["ddpm.timesteps"] = ddpm.timesteps.clone()
    draw = diffusers.schedulers.scheduling_ddpm.randn_tensor
    x = inputs["xT"]
    for i, t in enumerate(ddpm.timesteps):
        diffusers.schedulers.scheduling_ddpm.randn_tensor = lambda *_, i=i, **__: inputs[f"ddpm.noise.{i}"]
        x = ddpm.step(model(x, t).sample, t, x).prev_sample
        results[f"ddpm.{i}"] = x
    diffusers.schedulers.scheduling_ddpm.randn_tensor = draw
    return results


def main():
    torch.set_num_threads(1)
    for name in ("unet-ddpm-tiny", "unet-heads-tiny"):
        folder = ROOT / name
        path = folder / "fixture.safetensors"
        inputs = load_inputs(path)
        scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
        results = {**inputs, **training(folder, scheduler, inputs), **trajectories(folder, scheduler, inputs)}
        if "--write" in sys.argv:
            metadata = {
                "case": name,
                "torch": torch.__version__,
                "diffusers": diffusers.__version__,
                "adamw": "lr 1e-3, betas .9 .999, eps 1e-8, weight decay 1e-2, clip norm 1.0, ten steps on one batch",
            }
            save_file({key: value.contiguous().clone() for key, value in results.items()}, path, metadata)
            continue
        with safe_open(path, "pt") as file:
            assert set(file.keys()) == set(results), set(file.keys()) ^ set(results)
            differences = {key: (file.get_tensor(key) - results[key]).abs().max().item() for key in file.keys()}
        worst = max(differences, key=differences.__getitem__)
        print(f"{name}: {len(results)} tensors, largest difference {differences[worst]:.1e} in {worst}")


if __name__ == "__main__":
    main()
