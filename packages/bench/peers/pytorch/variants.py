"""Ways of using PyTorch for the same work. A variant's name says all of it: `compiled channels-last`, `eager`."""


def variants(work, compile):
    """Names of the variants that are worth trying for some work."""
    layouts = ["", " channels-last"]
    if work["kind"] == "op" and work["op"] not in ("conv2d", "group-norm-silu", "resnet-block"):
        layouts = [""]
    whole = work["kind"] != "op" or work["op"] == "resnet-block"
    # Without gradients the compiler may fold the weights into its kernels.
    compiled = "frozen" if work["kind"] == "sample" else "compiled"
    ways = ["eager", compiled] if compile and whole else ["eager"]
    return [way + layout for way in ways for layout in layouts]


def memory_format(variant):
    import torch

    return torch.channels_last if "channels-last" in variant else torch.contiguous_format


def compiled(function, variant):
    """The function, through the compiler if the variant says so."""
    import torch

    if "compiled" not in variant and "frozen" not in variant:
        return function
    import torch._inductor.config

    torch._inductor.config.freezing = "frozen" in variant
    return torch.compile(function)


def autocast(precision):
    """Computes what is inside with bfloat16 where PyTorch holds that to be safe; in float32 it changes nothing."""
    import torch

    return torch.autocast(torch.get_default_device().type, dtype=torch.bfloat16, enabled=precision == "bf16")
