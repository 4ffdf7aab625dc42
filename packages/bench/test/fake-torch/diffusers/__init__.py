"""Stands in for diffusers, as far as the benchmark asks for it."""

from unittest.mock import MagicMock

__version__ = "0-fake"


class DDIMScheduler(MagicMock):
    timesteps = list(range(50))


UNet2DModel = MagicMock()
model = UNet2DModel.return_value.to.return_value
model.config.dropout = 0.0
