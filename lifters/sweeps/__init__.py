"""Grids of trainings and their comparison."""
