"""Learned features of the networks, sampled at the joints (AugLiftV2)."""
