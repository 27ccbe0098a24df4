"""What a store is made of: skeletons, fields, sequences, keys, fingerprints. Plain data, no files."""
