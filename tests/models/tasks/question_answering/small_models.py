"""Models that answer, batches of questions, and a tokenizer of letters, all tiny."""

from typing import Any

import torch
from torch import Tensor, nn

from internvideo.registry import MODELS
from internvideo.structures import VideoDataSample
from tests.models.tasks.retrieval.small_models import BERT, VISION

TEXT = BERT | dict(type='FusionBert')
ENCODER = VISION | dict(clip_embed_dim=None, image_pos_embed=None)
START, END = 1, 2


class Letters:
    """A token a letter between two special ones."""

    max_length = 12
    vocab_size = 40

    def __init__(self) -> None:
        self.tokenizer = self

    def __call__(self, texts: list[str], max_length: int | None = None) -> dict[str, Tensor]:
        length = max_length or self.max_length
        ids = torch.zeros(len(texts), length, dtype=torch.long)
        for row, text in enumerate(texts):
            letters = [3 + (ord(letter) - ord('a')) % 32 for letter in text[: length - 2]]
            ids[row, : len(letters) + 2] = torch.tensor([START, *letters, END])
        return dict(input_ids=ids, attention_mask=(ids > 0).long())

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        return ''.join(chr(ord('a') + i - 3) for i in ids if i not in (0, START, END))


def model(kind: str, **fields: Any) -> nn.Module:
    base = dict(
        type=kind,
        vision_encoder=ENCODER,
        text_encoder=TEXT,
        data_preprocessor=dict(type='QuestionPreprocessor', tokenizer=Letters()),
    )
    ends = dict(end_id=END) if kind == 'VideoQuestionAnswering' else {}
    return MODELS.build(base | ends | fields)


def sample(clip: int, **facts: Any) -> VideoDataSample:
    return VideoDataSample(
        metainfo=dict(path=f'{clip}.mp4', sample_index=clip, clip=clip, question='what') | facts
    )


def open_sample(clip: int = 0, answers: tuple[str, ...] = ('a',), **facts: Any) -> VideoDataSample:
    weights = (1 / len(answers),) * len(answers)
    own = dict(answers=answers, weights=weights, num_answers=len(answers))
    return sample(clip, **own | facts)


def choice_sample(
    clip: int = 0, option: tuple[str, ...] = ('a', 'b'), answer: int = 0, **facts: Any
):
    return sample(clip, option=option, answer=answer, **facts)


def batch(samples: list[VideoDataSample], clips: int = 2) -> dict[str, Any]:
    video = torch.randint(0, 256, (clips, 3, 2, 28, 28), dtype=torch.uint8)
    return dict(inputs=dict(video=video), data_samples=samples)


def run(net: nn.Module, data: dict[str, Any], mode: str) -> Any:
    return net(**net.data_preprocessor(data, mode == 'loss'), mode=mode)
