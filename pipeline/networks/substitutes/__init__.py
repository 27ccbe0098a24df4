"""What stands in the place of a network: ground truth, joints of a file, a finished store, nothing."""
