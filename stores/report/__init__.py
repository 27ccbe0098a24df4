"""One page about a store, to look at before training."""
