"""How good a trained lifter is."""
