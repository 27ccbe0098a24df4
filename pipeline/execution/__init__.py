"""Running a plan: here or on Ray, shard by shard, resumable."""
