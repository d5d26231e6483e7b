"""What travels beside a clip: labels, predictions and where the clip came from."""

from .video_data_sample import VideoDataSample

__all__ = ['VideoDataSample']
