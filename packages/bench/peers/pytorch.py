"""PyTorch and diffusers as a peer of the benchmark.

Reads one JSON request a line on stdin and answers with one JSON line on stdout:

  {"command": "hello", "threads": 2}                        -> {"name", "version", "diffusers"} or {"missing": reason}
  {"command": "variants", "work": {...}, "compile": false}  -> {"variants": [name, ...]}
  {"command": "prepare", "work": {...}, "variant": name}    -> {}
  {"command": "run"}                                        -> {"ms": milliseconds of one measurement}
  {"command": "release"}                                    -> {}

Anything that fails is answered with {"error": message}. Between two requests the process sleeps in read(): OpenMP's workers
spin for a few milliseconds after a parallel region and then sleep too, which the caller waits for.

With `--startup FOLDER` it loads the diffusers pipeline in FOLDER instead, does the first denoising step, prints a line and ends.
"""

import gc
import json
import os
import sys
import time


def eager_variants(work, compile):
    names = ["eager", "eager channels-last"]
    if work["kind"] == "op":
        return names if work["op"] in ("conv2d", "group-norm-silu") else names[:1]
    if compile:
        names += ["compiled", "compiled channels-last"]
    return names


def memory_format(variant):
    import torch

    return torch.channels_last if "channels-last" in variant else torch.contiguous_format


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


def train_step(work, variant):
    """Forward, mean squared error, backward, fused AdamW, zero_grad. The noisy images are made beforehand."""
    import torch
    import torch.nn.functional as F

    model = network(work, variant)
    forward = torch.compile(model) if "compiled" in variant else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, fused=True)
    x, noise = images(work, variant), images(work, variant)
    t = torch.randint(0, 1000, (work["batch"],))

    def run():
        loss = F.mse_loss(forward(x, t).sample, noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return run, 1


def sample(work, variant):
    """The first `steps` steps of DDIM with 50, as DDIMPipeline takes them."""
    import torch
    from diffusers import DDIMScheduler

    model = network(work, variant).eval()
    if "compiled" in variant:
        import torch._inductor.config

        torch._inductor.config.freezing = True
        forward = torch.compile(model)
    else:
        forward = model
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(50)
    timesteps = scheduler.timesteps[: work["steps"]]
    start = images(work, variant)

    def run():
        # Frozen graphs need no_grad and do not know inference mode.
        with torch.no_grad() if "compiled" in variant else torch.inference_mode():
            x = start
            for t in timesteps:
                x = scheduler.step(forward(x, t).sample, t, x).prev_sample
        return x

    return run, len(timesteps)


def op_matmul(work, part, layout):
    import torch

    size = work["size"]
    a, b = torch.randn(size, size), torch.randn(size, size)
    c = torch.empty(size, size)
    return lambda: torch.mm(a, b, out=c)


def op_conv2d(work, part, layout):
    import torch
    import torch.nn.functional as F

    n, c, h, w, k = (work[key] for key in ("batch", "channels", "height", "width", "outputs"))
    x = torch.randn(n, c, h, w).contiguous(memory_format=layout)
    weight = (torch.randn(k, c, 3, 3) / (9 * c) ** 0.5).contiguous(memory_format=layout)
    bias = torch.randn(k)
    if part == "forward":
        return lambda: F.conv2d(x, weight, bias, padding=1)
    dy = torch.randn(n, k, h, w).contiguous(memory_format=layout)
    wanted = [True, False, False] if part == "data gradient" else [False, True, True]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, weight, [k], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)


def op_group_norm_silu(work, part, layout):
    import torch
    import torch.nn.functional as F

    n, c, h, w = (work[key] for key in ("batch", "channels", "height", "width"))
    x = torch.randn(n, c, h, w).contiguous(memory_format=layout).requires_grad_(part == "backward")
    gamma, beta = torch.ones(c).requires_grad_(part == "backward"), torch.zeros(c).requires_grad_(part == "backward")

    def forward():
        return F.silu(F.group_norm(x, work["groups"], gamma, beta, 1e-5))

    if part == "forward":
        return forward
    y = forward()
    dy = torch.randn(n, c, h, w).contiguous(memory_format=layout)
    return lambda: torch.autograd.grad(y, (x, gamma, beta), dy, retain_graph=True)


def op_attention(work, part, layout):
    import torch
    import torch.nn.functional as F

    shape = (work["batch"], work["heads"], work["tokens"], work["channels"] // work["heads"])
    q, k, v = (torch.randn(shape).requires_grad_(part == "backward") for _ in range(3))
    if part == "forward":
        return lambda: F.scaled_dot_product_attention(q, k, v)
    y = F.scaled_dot_product_attention(q, k, v)
    dy = torch.randn(shape)
    return lambda: torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)


def op_adamw(work, part, layout):
    import torch

    parameter = torch.randn(work["parameters"]).requires_grad_()
    parameter.grad = torch.randn(work["parameters"])
    return torch.optim.AdamW([parameter], lr=2e-4, fused=True).step


OPS = {
    "matmul": op_matmul,
    "conv2d": op_conv2d,
    "group-norm-silu": op_group_norm_silu,
    "attention": op_attention,
    "adamw": op_adamw,
}


def op(work, variant):
    once = OPS[work["op"]](work, work.get("part"), memory_format(variant))
    repeats = work["repeats"]

    def run():
        for _ in range(repeats):
            once()

    return run, repeats


KINDS = {"train-step": train_step, "sample": sample, "op": op}


class Peer:
    def __init__(self):
        self.run = None
        self.count = 1

    def hello(self, request):
        try:
            import diffusers
            import torch
        except ImportError as error:
            return {"missing": f"{error} ({sys.executable})"}
        torch.set_num_threads(request["threads"])
        return {"name": "pytorch", "version": torch.__version__, "diffusers": diffusers.__version__}

    def variants(self, request):
        return {"variants": eager_variants(request["work"], request.get("compile", False))}

    def prepare(self, request):
        self.release(request)
        work = request["work"]
        self.run, self.count = KINDS[work["kind"]](work, request["variant"])
        return {}

    def measure(self, request):
        begin = time.perf_counter()
        self.run()
        return {"ms": (time.perf_counter() - begin) * 1000 / self.count}

    def release(self, request):
        self.run = None
        gc.collect()
        return {}


def answer(peer, request):
    commands = {
        "hello": peer.hello,
        "variants": peer.variants,
        "prepare": peer.prepare,
        "run": peer.measure,
        "release": peer.release,
    }
    try:
        return commands[request["command"]](request)
    except Exception as error:  # the caller reports it with the case
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def serve():
    # Libraries print warnings to stdout; the protocol keeps it to itself.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = Peer()
    for line in sys.stdin:
        out.write(json.dumps(answer(peer, json.loads(line))) + "\n")
        out.flush()


def startup(folder):
    import torch
    from diffusers import DDIMScheduler, UNet2DModel

    model = UNet2DModel.from_pretrained(folder, subfolder="unet").eval()
    scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    scheduler.set_timesteps(50)
    size = model.config.sample_size
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    x = torch.randn(1, model.config.in_channels, height, width)
    t = scheduler.timesteps[0]
    with torch.inference_mode():
        scheduler.step(model(x, t).sample, t, x)
    print("step", flush=True)
    os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--startup"]:
        startup(sys.argv[2])
    else:
        serve()
