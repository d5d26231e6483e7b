"""Training and evaluation in one process on one device."""

from torch import nn

from internvideo.engine.strategies.strategy import Strategy
from internvideo.registry import STRATEGIES


@STRATEGIES.register_module()
class SingleDevice(Strategy):
    """Places the model as it is on the GPU if there is one, else on the CPU."""

    def wrap_model(self, model: nn.Module) -> nn.Module:
        if self.world_size > 1:
            raise ValueError(
                f'strategy SingleDevice cannot serve {self.world_size} processes; use DDP'
            )
        return super().wrap_model(model)
