"""Depth networks beside Depth Anything: what their numbers mean, models of transformers, OpenVINO."""
