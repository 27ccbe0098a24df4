"""From a store to arrays: whole shards, frames, shuffled windows."""
