"""How fast UniFormerV2-B/16 is beside timm's CLIP ViT-B/16 over the same frames.

    python benchmarks/uniformerv2.py [--frames 8] [--rounds 5] [--local]

The yardstick is timm's tower over the frames plus the four global blocks written out with torch's
own layers, which make keys and values of all tokens.  CPU time of this process on one thread; cases
take turns within a round and medians are compared, so other work on the machine moves all of them
alike.  Ratios are what to read.
"""

import os

# Before torch is imported: idle OpenMP threads that spin would be counted as work.
os.environ['OMP_WAIT_POLICY'] = 'PASSIVE'
os.environ['OMP_NUM_THREADS'] = '1'

import argparse
import statistics
import time
from collections.abc import Callable

import timm
import torch
from torch import Tensor, nn

from internvideo.models.backbones.uniformerv2 import UniFormerV2

DIM, HEADS, SIDE, GRID, GLOBAL_BLOCKS = 768, 12, 224, 14, 4
AIM = 1.1


class PlainGlobalBlock(nn.Module):
    """A global block with torch's own convolution and attention."""

    def __init__(self) -> None:
        super().__init__()
        self.dpe = nn.Conv3d(DIM, DIM, 3, padding=1, groups=DIM)
        self.attn = nn.MultiheadAttention(DIM, HEADS, batch_first=True)
        self.ln_1, self.ln_2, self.ln_3 = (nn.LayerNorm(DIM) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(DIM, 4 * DIM), nn.GELU(), nn.Linear(4 * DIM, DIM))

    def forward(self, query: Tensor, x: Tensor) -> Tensor:
        """Query (1, 1, D) over the tokens x (T, 1 + S, D) of one clip."""
        patches = x[:, 1:]
        places = patches.reshape(1, -1, GRID, GRID, DIM).permute(0, 4, 1, 2, 3)
        patches = patches + self.dpe(places).permute(0, 2, 3, 4, 1).reshape_as(patches)
        tokens = self.ln_3(torch.cat([x[:, :1], patches], dim=1).flatten(0, 1)[None])
        query = query + self.attn(self.ln_1(query), tokens, tokens, need_weights=False)[0]
        return query + self.mlp(self.ln_2(query))


class PlainGlobalPath(nn.Module):
    """The global blocks, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(PlainGlobalBlock() for _ in range(GLOBAL_BLOCKS))

    def forward(self, x: Tensor) -> Tensor:
        """The query after all blocks."""
        query = x.new_zeros(1, 1, DIM)
        for block in self.blocks:
            query = block(query, x)
        return query


def cases(frames: int, local: bool) -> dict[str, Callable[[], object]]:
    """Runs by name: timm's tower, the plain global blocks, ours."""
    video = torch.randn(1, 3, frames, SIDE, SIDE)
    images = video[0].transpose(0, 1).contiguous()
    tokens = torch.randn(frames, 1 + GRID**2, DIM)
    tower = timm.create_model('vit_base_patch16_clip_224', num_classes=0).eval()
    path = PlainGlobalPath().eval()
    ours = {'UniFormerV2-B/16': UniFormerV2(num_frames=frames).eval()}
    if local:
        ours['with local blocks'] = UniFormerV2(num_frames=frames, no_lmhra=False).eval()
    runs = {
        'timm ViT-B/16': lambda: tower.forward_features(images),
        'plain global blocks': lambda: path(tokens),
    }
    return runs | {name: lambda net=net: net(video) for name, net in ours.items()}


@torch.inference_mode()
def measure(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median CPU milliseconds of each run."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 1):
        for name, run in runs.items():
            start = time.process_time()
            run()
            if index:  # round 0 warms up
                times[name].append(1000 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def compare(frames: int, rounds: int, local: bool = False) -> float:
    """Print the table and return the ratio of UniFormerV2-B/16 to the yardstick."""
    medians = measure(cases(frames, local), rounds)
    yardstick = medians['timm ViT-B/16'] + medians['plain global blocks']
    for name, value in medians.items():
        print(f'{name:20s} {value:8.0f} CPU ms  {value / yardstick:5.2f} x yardstick')
    ratio = medians['UniFormerV2-B/16'] / yardstick
    print(f'UniFormerV2-B/16, {frames} frames: {ratio:.2f} x (aim {AIM})')
    return ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--frames', type=int, default=8)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--local', action='store_true', help='also with both local blocks')
    args = parser.parse_args()
    torch.set_num_threads(1)
    compare(args.frames, args.rounds, args.local)


if __name__ == '__main__':
    main()
