"""Widen the first layer of any lifter for more channels."""
