"""Networks as ONNX files, for runtimes that read them."""


def export(work, path):
    """Writes the network of some work with its weights. Inputs: x [N, C, H, W] and t [N]; output: y."""
    import torch
    from networks import images, network
    from torch.onnx._internal.torchscript_exporter import onnx_proto_utils

    try:
        import onnx  # noqa: F401
    except ImportError:
        # The package would only add functions that these networks have not; the file is complete without it.
        onnx_proto_utils._add_onnxscript_fn = lambda model, custom_opsets: model

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network(work, "eager").eval()

        def forward(self, x, t):
            return self.model(x, t, return_dict=False)[0]

    x = images(work, "eager")
    t = torch.full((work["batch"],), 500.0)
    names = {"input_names": ["x", "t"], "output_names": ["y"]}
    with torch.no_grad():
        torch.onnx.export(Network(), (x, t), path, opset_version=17, dynamo=False, **names)
