"""Writes unet-options.safetensors: for small U-Nets with every option of UNet2DModel that diffuse supports, the output and the
length of each parameter's gradient, by PyTorch and diffusers in float32 on a CPU.

Weights and inputs are not stored but computed from sines, the same here and in unet2d-options.test.ts.

    python golden/unet_options.py
"""

import json
import math
import pathlib

import numpy as np
import torch
from diffusers import UNet2DModel
from safetensors.torch import save_file

BASE = dict(
    sample_size=8,
    in_channels=3,
    out_channels=3,
    block_out_channels=(8, 16),
    down_block_types=("DownBlock2D", "AttnDownBlock2D"),
    up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    layers_per_block=1,
    norm_num_groups=4,
    attention_head_dim=None,
)

CASES = {
    "defaults": {},
    "scale-shift": dict(resnet_time_scale_shift="scale_shift"),
    "scale-shift-attention-groups": dict(resnet_time_scale_shift="scale_shift", attn_norm_num_groups=8),
    "classes": dict(num_class_embeds=5),
    "class-timestep": dict(class_embed_type="timestep"),
    "class-identity": dict(class_embed_type="identity"),
    "fourier": dict(time_embedding_type="fourier"),
    "not-square": dict(sample_size=(8, 12)),
    "three-layers": dict(layers_per_block=3),
    "heads": dict(attention_head_dim=4),
    "mid-scale": dict(mid_block_scale_factor=2.0),
    "no-mid-attention": dict(add_attention=False),
    "no-mid-block": dict(mid_block_type=None),
    "centered": dict(center_input_sample=True),
    "tensorflow-padding": dict(downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6),
    "time-embedding-dim": dict(time_embedding_dim=24),
    "four-channels": dict(in_channels=4, out_channels=4),
    "one-level": dict(block_out_channels=(8,), down_block_types=("AttnDownBlock2D",), up_block_types=("UpBlock2D",)),
    "odd-size": dict(sample_size=(6, 10)),
}


def sines(seed, count):
    return np.sin(1.0 + 0.7 * seed + 1.3 * np.arange(count, dtype=np.float64)).astype(np.float32)


def set_weights(model):
    with torch.no_grad():
        for index, (name, value) in enumerate(model.named_parameters()):
            numbers = torch.from_numpy(sines(index, value.numel()).copy()).reshape(value.shape)
            if name == "time_proj.weight":
                value.copy_(numbers)
            elif value.dim() == 1:
                value.copy_(0.1 * numbers + (1.0 if name.endswith("weight") else 0.0))
            else:
                value.copy_(numbers / math.sqrt(value[0].numel()))


def labels_of(config):
    if config.get("num_class_embeds"):
        return torch.tensor([3, 0])
    if config.get("class_embed_type") == "timestep":
        return torch.tensor([3.0, 70.0])
    if config.get("class_embed_type") == "identity":
        return torch.from_numpy(sines(500, 2 * 32).copy()).reshape(2, 32)
    return None


def main():
    torch.set_num_threads(1)
    results, configs = {}, {}
    for name, options in CASES.items():
        config = {**BASE, **options}
        model = UNet2DModel(**config)
        set_weights(model)
        height, width = model.sample_size if isinstance(model.sample_size, tuple) else (model.sample_size,) * 2
        shape = (2, config["in_channels"], height, width)
        x = torch.from_numpy(sines(900, math.prod(shape)).copy()).reshape(shape)
        target = torch.from_numpy(sines(901, math.prod(shape)).copy()).reshape(shape)
        output = model(x, torch.tensor([10.0, 700.0]), labels_of(config)).sample
        torch.nn.functional.mse_loss(output, target).backward()
        results[f"{name}.output"] = output.detach()
        trained = [value for key, value in model.named_parameters() if key != "time_proj.weight"]
        results[f"{name}.gradient_norms"] = torch.stack([value.grad.norm() for value in trained])
        configs[name] = {key: value for key, value in model.config.items() if not key.startswith("_")}
    save_file(results, pathlib.Path(__file__).parent / "unet-options.safetensors", {"configs": json.dumps(configs)})


if __name__ == "__main__":
    main()
