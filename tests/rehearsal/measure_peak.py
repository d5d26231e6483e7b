"""Prints how much resident memory real training steps add at their peak, in bytes."""

import ctypes
import json
import resource
import sys
from pathlib import Path

import torch

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample


def resident() -> int:
    pages = int(Path('/proc/self/statm').read_text().split()[1])
    return pages * resource.getpagesize()


def batch(shape, classes):
    samples = [VideoDataSample().set_gt_score(torch.rand(classes)) for _ in range(shape[0])]
    return torch.rand(shape), samples


def step(model, optimizer, shape, classes):
    inputs, samples = batch(shape, classes)
    optimizer.zero_grad()
    model(inputs, samples, mode='loss')['loss'].backward()
    optimizer.step()


def main(config, clips, frames, side):
    torch.set_num_threads(1)
    model = MODELS.build(config).train()
    classes = config['head']['num_classes']
    step(model, torch.optim.SGD(model.parameters(), lr=0), (1, 1, 3, frames, side, side), classes)
    model.zero_grad()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, foreach=True)
    ctypes.CDLL('libc.so.6').malloc_trim(0)
    before = resident()
    Path('/proc/self/clear_refs').write_text('5')  # the peak starts anew
    for _ in range(2):
        step(model, optimizer, (clips, 1, 3, frames, side, side), classes)
    line = next(x for x in Path('/proc/self/status').read_text().splitlines() if 'VmHWM' in x)
    print(int(line.split()[1]) * 1024 - before)


if __name__ == '__main__':
    main(**json.loads(sys.argv[1]))
