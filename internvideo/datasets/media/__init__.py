"""Media files: readers of video, images and audio."""
