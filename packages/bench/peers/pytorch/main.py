"""PyTorch and diffusers as a peer of the benchmark.

Reads one JSON request a line on stdin and answers with one JSON line on stdout:

  {"command": "hello", "device": "cpu", "threads": 2, "precision": "fp32", "tf32": false}
                                                            -> {"name", "version", "diffusers", "isa"} or {"missing": reason}
  {"command": "variants", "work": {...}, "compile": false}  -> {"variants": [name, ...]}
  {"command": "prepare", "work": {...}, "variant": name}    -> {}
  {"command": "run"}                                        -> {"ms": milliseconds of one measurement}
  {"command": "release"}                                    -> {}
  {"command": "export", "work": {...}, "path": file}        -> {}, with the network as ONNX in that file

Anything that fails is answered with {"error": message}. Between two requests the process sleeps in read(): OpenMP's workers
spin for a few milliseconds after a parallel region and then sleep too, which the caller waits for.

With `--startup FOLDER` it loads the diffusers pipeline in FOLDER instead, does the first denoising step, prints a line and ends.
"""

import gc
import json
import os
import sys
import time


class Peer:
    def __init__(self):
        self.run = None
        self.count = 1
        self.clock = self.time_here
        self.precision = "fp32"
        self.on_gpu = False

    def hello(self, request):
        try:
            import diffusers
            import torch
        except ImportError as error:
            return {"missing": f"{error} ({sys.executable})"}
        torch.set_num_threads(request["threads"])
        self.precision = request.get("precision", "fp32")
        device = request.get("device", "cpu")
        self.on_gpu = device != "cpu"
        told = {"isa": torch.backends.cpu.get_cpu_capability()}
        if self.on_gpu:
            if torch.version.cuda is None:
                return {"missing": f"PyTorch {torch.__version__} is built without CUDA ({sys.executable})"}
            if not torch.cuda.is_available():
                return {"missing": f"PyTorch {torch.__version__} finds no GPU ({sys.executable})"}
            # As ours: float32 is multiplied as float32, unless tf32 is asked for.
            tf32 = request.get("tf32", False)
            torch.backends.cudnn.allow_tf32 = tf32
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.benchmark = True
            # New tensors come onto the default device; synchronize(), events and streams are those of the current one.
            torch.set_default_device(device)
            torch.cuda.set_device(device)
            told["device"] = torch.cuda.get_device_name()
        return {"name": "pytorch", "version": torch.__version__, "diffusers": diffusers.__version__, **told}

    def variants(self, request):
        from variants import variants

        return {"variants": variants(request["work"], request.get("compile", False))}

    def prepare(self, request):
        import networks
        import ops

        self.release(request)
        work = request["work"]
        kinds = {"train-step": networks.train_step, "sample": networks.sample, "op": ops.op}
        self.run, self.count = kinds[work["kind"]](work, request["variant"], self.precision)
        # Ours of an op is the time of its kernels, too.
        self.clock = self.time_on_gpu if self.on_gpu and work["kind"] == "op" else self.time_here
        return {}

    def measure(self, request):
        return {"ms": self.clock() / self.count}

    def time_here(self):
        """Milliseconds until all is computed, as the program sees it."""
        self.synchronize()
        begin = time.perf_counter()
        self.run()
        self.synchronize()
        return (time.perf_counter() - begin) * 1000

    def time_on_gpu(self):
        """Milliseconds between the first and the last kernel, by the GPU's clock."""
        import torch

        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self.synchronize()
        begin.record()
        self.run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    def synchronize(self):
        """Waits for what a GPU has been given; a CPU has done it already."""
        if self.on_gpu:
            import torch

            torch.cuda.synchronize()

    def release(self, request):
        self.run = None
        gc.collect()
        if self.on_gpu:
            import torch

            torch.cuda.empty_cache()
        return {}

    def export(self, request):
        from onnx_file import export

        export(request["work"], request["path"])
        return {}


def answer(peer, request):
    commands = {
        "hello": peer.hello,
        "variants": peer.variants,
        "prepare": peer.prepare,
        "run": peer.measure,
        "release": peer.release,
        "export": peer.export,
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
