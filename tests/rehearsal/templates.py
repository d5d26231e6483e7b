"""Templates of batches with given shapes, as observing a loader makes them."""

import torch

from internvideo.rehearsal.batches import BatchTemplate
from internvideo.structures import VideoDataSample


def clip_template(views, channels, frames, height, width, classes):
    """Clips with soft targets."""

    def batch(size):
        samples = [VideoDataSample().set_gt_score(torch.rand(classes)) for _ in range(size)]
        inputs = torch.empty(size, views, channels, frames, height, width)
        return dict(inputs=inputs, data_samples=samples)

    return BatchTemplate(batch(2), batch(4), 2)


def media_template(kind, video=None, audio=None, length=32, kinds=()):
    """Media with texts of ``length`` tokens, 0 for none, of several kinds or one."""

    def tokens(size):
        names = ('input_ids', 'attention_mask')
        return {name: torch.zeros(size, length, dtype=torch.long) for name in names}

    def batch(size):
        media = dict(video=video, audio=audio)
        inputs = {key: torch.empty(size, *shape) for key, shape in media.items() if shape}
        if length:
            inputs['text'] = {name: tokens(size) for name in kinds} or tokens(size)
        facts = dict(media_type=kind)
        samples = [VideoDataSample(metainfo=facts | dict(pair_id=row)) for row in range(size)]
        return dict(inputs=inputs, data_samples=samples)

    return BatchTemplate(batch(2), batch(4), 2, kind)
