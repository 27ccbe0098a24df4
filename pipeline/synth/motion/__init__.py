"""How rendered people move: rigs, procedural motion, recorded motion."""
