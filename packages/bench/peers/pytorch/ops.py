"""Single ops and blocks, at the shapes that ours has them.

`images` is the type of the images that an op reads, those a network would have computed: in bf16 they are not made from float32 in the
time that is measured. The weights of a convolution alone are of that type, too; those of a block are float32 and are cast in each run, as in
training.
"""

from variants import autocast, compiled, memory_format


def matmul(work, part, variant, images):
    import torch

    size = work["size"]
    a, b = torch.randn(size, size), torch.randn(size, size)
    c = torch.empty(size, size)
    return lambda: torch.mm(a, b, out=c)


def conv2d(work, part, variant, images):
    import torch
    import torch.nn.functional as F

    layout = memory_format(variant)
    n, c, h, w, k = (work[key] for key in ("batch", "channels", "height", "width", "outputs"))
    x = torch.randn(n, c, h, w).to(images).contiguous(memory_format=layout)
    weight = (torch.randn(k, c, 3, 3) / (9 * c) ** 0.5).to(images).contiguous(memory_format=layout)
    bias = torch.randn(k).to(images)
    if part == "forward":
        return lambda: F.conv2d(x, weight, bias, padding=1)
    dy = torch.randn(n, k, h, w).to(images).contiguous(memory_format=layout)
    wanted = [True, False, False] if part == "data gradient" else [False, True, True]
    backward = torch.ops.aten.convolution_backward
    return lambda: backward(dy, x, weight, [k], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted)


def group_norm_silu(work, part, variant, images):
    import torch
    import torch.nn.functional as F

    layout = memory_format(variant)
    n, c, h, w = (work[key] for key in ("batch", "channels", "height", "width"))
    x = torch.randn(n, c, h, w).to(images).contiguous(memory_format=layout).requires_grad_(part == "backward")
    gamma, beta = torch.ones(c).requires_grad_(part == "backward"), torch.zeros(c).requires_grad_(part == "backward")

    def forward():
        return F.silu(F.group_norm(x, work["groups"], gamma, beta, 1e-5))

    if part == "forward":
        return forward
    y = forward()
    dy = torch.randn(n, c, h, w).to(images).contiguous(memory_format=layout)
    return lambda: torch.autograd.grad(y, (x, gamma, beta), dy, retain_graph=True)


def attention(work, part, variant, images):
    import torch
    import torch.nn.functional as F

    shape = (work["batch"], work["heads"], work["tokens"], work["channels"] // work["heads"])
    inputs = [torch.randn(shape).to(images).requires_grad_(part != "forward") for _ in range(3)]
    dy = torch.randn(shape).to(images)

    def forward():
        return F.scaled_dot_product_attention(*inputs)

    if part == "forward":
        return forward
    return lambda: torch.autograd.grad(forward(), inputs, dy)


def resnet_block(work, part, variant, images):
    """A residual block, forward and backward with all gradients; the time embedding comes projected."""
    import torch
    import torch.nn.functional as F

    layout = memory_format(variant)
    n, c, h, w, groups = (work[key] for key in ("batch", "channels", "height", "width", "groups"))

    def weight():
        return (torch.randn(c, c, 3, 3) / (9 * c) ** 0.5).contiguous(memory_format=layout)

    x = torch.randn(n, c, h, w).to(images).contiguous(memory_format=layout)
    time = torch.randn(n, c).to(images)
    layers = [[torch.ones(c), torch.zeros(c), weight(), torch.zeros(c)] for _ in range(2)]
    inputs = [x, time, *layers[0], *layers[1]]
    for tensor in inputs:
        tensor.requires_grad_()
    dy = torch.randn(n, c, h, w).to(images).contiguous(memory_format=layout)

    def layer(x, gamma, beta, weight, bias):
        return F.conv2d(F.silu(F.group_norm(x, groups, gamma, beta, 1e-5)), weight, bias, padding=1)

    def block(x, time, *parameters):
        hidden = layer(x, *parameters[:4]) + time[:, :, None, None]
        return x + layer(hidden, *parameters[4:])

    forward = compiled(block, variant)
    return lambda: torch.autograd.grad(forward(*inputs), inputs, dy)


def update(work, part, variant, images):
    """clip_grad_norm_, fused AdamW and the average of the weights."""
    import torch

    # Tensors of the size of a layer's weights: one of all parameters would leave the threads of some ops without work.
    sizes = [min(590_080, work["parameters"] - begin) for begin in range(0, work["parameters"], 590_080)]
    parameters = [torch.randn(size).requires_grad_() for size in sizes]
    averages = [parameter.detach().clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    optimizer = torch.optim.AdamW(parameters, lr=2e-4, fused=True)

    def run():
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 1e-4)

    return run


OPS = {
    "matmul": matmul,
    "conv2d": conv2d,
    "group-norm-silu": group_norm_silu,
    "attention": attention,
    "resnet-block": resnet_block,
    "update": update,
}


def op(work, variant, precision):
    """An op, as often as `repeats` says. In bf16 backward passes have the types that autocast gave the forward pass."""
    import torch

    images = torch.bfloat16 if precision == "bf16" else torch.float32
    with autocast(precision):
        once = OPS[work["op"]](work, work.get("part"), variant, images)
    repeats = work["repeats"]

    def run():
        with autocast(precision):
            for _ in range(repeats):
                once()

    return run, repeats
