"""Writes unet-keys.json, names and shapes of the parameters of UNet2DModel for configurations that differ in every
field that changes them, and unet-cifar10-keys.txt, those of google/ddpm-cifar10-32. Needs torch and diffusers 0.40.

    python golden/unet_keys.py
"""

import json
import pathlib

import torch
from diffusers import UNet2DModel

BASE = {
    "sample_size": 8,
    "in_channels": 2,
    "out_channels": 3,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
}

CASES = {
    "base": {},
    "one level": {
        "block_out_channels": [8],
        "down_block_types": ["AttnDownBlock2D"],
        "up_block_types": ["UpBlock2D"],
    },
    "three layers, attention on the way up only": {
        "block_out_channels": [8, 12, 8],
        "down_block_types": ["DownBlock2D"] * 3,
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D"],
        "layers_per_block": 3,
        "attention_head_dim": 4,
    },
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "scale and shift, groups in the middle": {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 2},
    "groups in the middle": {"attn_norm_num_groups": 8},
    "one head": {"attention_head_dim": None},
    "class table": {"num_class_embeds": 10},
    "class as timestep": {"class_embed_type": "timestep", "num_class_embeds": 10},
    "class as vector": {"class_embed_type": "identity"},
    "wide time embedding": {"time_embedding_dim": 20},
    "fourier": {"time_embedding_type": "fourier", "class_embed_type": "timestep"},
    "no attention in the middle": {"add_attention": False},
    "no middle": {"mid_block_type": None},
}

CIFAR10 = {
    "sample_size": 32,
    "attention_head_dim": None,
    "block_out_channels": [128, 256, 256, 256],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}

# Whole networks, built without memory: that of diffusers' training script, and the class defaults.
LARGE = {
    "training script": {
        "sample_size": 64,
        "block_out_channels": [128, 128, 256, 256, 512, 512],
        "down_block_types": ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
    },
    "class defaults": {"sample_size": 64},
}


def parameters(config):
    with torch.device("meta"):
        return UNet2DModel(**config).state_dict()


def main():
    cases = []
    for name, changes in CASES.items():
        config = {**BASE, **changes}
        keys = [f"{key} {list(value.shape)}".replace(", ", ",") for key, value in parameters(config).items()]
        cases.append({"name": name, "config": config, "keys": keys})
    large = []
    for name, config in LARGE.items():
        tensors = parameters(config)
        count = sum(value.numel() for value in tensors.values())
        large.append({"name": name, "config": config, "tensors": len(tensors), "parameters": count})
    folder = pathlib.Path(__file__).parent
    (folder / "unet-keys.json").write_text(json.dumps({"cases": cases, "large": large}, indent=1) + "\n")

    tensors = parameters(CIFAR10)
    lines = [f"{len(tensors)} {sum(value.numel() for value in tensors.values())}"]
    lines += [f"{key} {tuple(value.shape)}" for key, value in tensors.items()]
    (folder / "unet-cifar10-keys.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
