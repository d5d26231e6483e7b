"""A linear layer that starts as the published models do."""

from torch import nn


class Linear(nn.Linear):
    """``nn.Linear`` whose weight starts normal with ``std`` and whose bias starts at zero.

    The published models draw from a normal distribution cut at 100 standard deviations, which
    is no cut at all.  Each weight is drawn once, in place, so a model of billions of parameters
    is not initialised twice, and nothing is drawn on the meta device.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, std: float = 0.02
    ) -> None:
        # Before the constructor of the parent, which calls reset_parameters.
        self.std = std
        super().__init__(in_features, out_features, bias=bias)

    def reset_parameters(self) -> None:
        nn.init.normal_(self.weight, std=self.std)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
