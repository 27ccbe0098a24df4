"""From files to frames: video, packets, folders of images, resampling."""
