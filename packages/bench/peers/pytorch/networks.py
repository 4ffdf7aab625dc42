"""Whole networks: training steps and sampling."""

from variants import autocast, compiled, memory_format


def network(work, variant):
    import torch
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    model = UNet2DModel(**work["config"]).to(memory_format=memory_format(variant))
    # Without dropout eval() changes no number, and it saves a copy in each block.
    return model.train() if model.config.dropout > 0 else model.eval()


def images(work, variant):
    import torch

    config = work["config"]
    size = config["sample_size"]
    height, width = size if isinstance(size, list) else (size, size)
    shape = (work["batch"], config["in_channels"], height, width)
    return torch.randn(shape).contiguous(memory_format=memory_format(variant))


def train_step(work, variant, precision):
    """Forward, mean squared error, backward, fused AdamW, zero_grad. The noisy images are made beforehand."""
    import torch
    import torch.nn.functional as F

    model = network(work, variant)
    forward = compiled(model, variant)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, fused=True)
    x, noise = images(work, variant), images(work, variant)
    t = torch.randint(0, 1000, (work["batch"],))

    def run():
        with autocast(precision):
            prediction = forward(x, t).sample
        loss = F.mse_loss(prediction.float(), noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return run, 1


def sample(work, variant, precision):
    """The first `steps` steps of DDIM with 50, as DDIMPipeline takes them: its numbers stay on the CPU, so that no step waits for a GPU."""
    import torch
    from diffusers import DDIMScheduler

    forward = compiled(network(work, variant).eval(), variant)
    with torch.device("cpu"):
        scheduler = DDIMScheduler()
        scheduler.set_timesteps(50)
    timesteps = scheduler.timesteps[: work["steps"]]
    start = images(work, variant)

    def run():
        # Frozen graphs need no_grad and do not know inference mode.
        with torch.no_grad() if "frozen" in variant else torch.inference_mode(), autocast(precision):
            x = start
            for t in timesteps:
                x = scheduler.step(forward(x, t).sample.float(), t, x).prev_sample
        return x

    return run, len(timesteps)
