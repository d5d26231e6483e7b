"""Records that travel with the data: samples, predictions, encoded sets."""

from .recognition import Recognition
from .video_data_sample import VideoDataSample

__all__ = ['Recognition', 'VideoDataSample']
