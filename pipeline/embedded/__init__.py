"""Networks small enough to ship, trained by us on rendered people only, and the code that trains and evaluates them.

`train.py` makes the three `tiny-*.safetensors` in this folder, `evaluate.py` evaluates them; docs/tiny-models.md has
the figures. They are for trying the software, not for photographs of real people.
"""
