"""BlazePose (Bazarevsky 2020, arXiv 2006.10204): MediaPipe's person detector and landmark network, run by LiteRT."""
