"""Windows of stores as batches of tensors."""
