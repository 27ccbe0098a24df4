"""FFmpeg's decoder used with care: every frame of a video by its number, every damage by a reason."""
