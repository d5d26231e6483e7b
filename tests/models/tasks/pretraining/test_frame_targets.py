"""Frame-wise targets of clips."""

import torch
import torch.nn.functional as F

from internvideo.models.masks.token_masks import AttentionMask, visible_indices
from internvideo.models.tasks.pretraining.frame_targets import FrameTargets


def test_tokens_and_mask_follow_the_frames_of_each_clip():
    middle, attn = torch.randn(6, 4, 5), torch.full((6, 4), 1e-9)
    attn[:, 2] = 1.0  # the third square of each frame is all that the teacher looks at
    targets = FrameTargets(2, [middle], None, attn)
    mask = AttentionMask(0.75, per='frame')(targets.clip_attn(), 2, (3, 2, 2), 'cpu')
    picked = targets.pick(visible_indices(mask, 3))
    expected = F.normalize(middle[:, 2], dim=-1).view(2, 3, 5)
    torch.testing.assert_close(picked.clip_middle[0], expected)
    assert picked.clip_final is None and FrameTargets(2, [middle]).clip_attn() is None


def test_pooled_vectors_are_averaged_after_normalising_and_not_again():
    final = torch.tensor([[2.0, 0.0], [0.0, 5.0], [0.0, 1.0], [0.0, 3.0]])
    picked = FrameTargets(2, [], final).pick(torch.zeros(2, 1, dtype=torch.long))
    assert picked.clip_final.tolist() == [[0.5, 0.5], [0.0, 1.0]]
