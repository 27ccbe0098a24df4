"""Networks that a user brings: OpenMMLab configurations with checkpoints, models as transformers saves them."""
