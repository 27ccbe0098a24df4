"""Into a store: shards under the commit protocol, the lock, statistics, verification."""
