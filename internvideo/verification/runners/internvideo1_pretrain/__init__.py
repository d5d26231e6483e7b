"""Runners of the first InternVideo: VideoMAE, UniFormerV2, ViCLIP and the multi-modality model."""
