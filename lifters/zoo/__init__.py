"""Lifters that are shipped: weights with their digest, and how they were trained."""
