"""Stores from stores: several merged into one, a part of one selected."""
