"""The Uncertainty-Aware Depth Descriptor: presets, radii, exact disk statistics."""
