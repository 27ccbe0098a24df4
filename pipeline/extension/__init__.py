"""New fields for a finished store: their plan, and its sources found again."""
