"""Which worker does which shard, and what happens when one dies. No Ray in it."""
