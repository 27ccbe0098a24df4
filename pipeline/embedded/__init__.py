"""Networks small enough to ship: trained by us on rendered people alone, and what trains and measures them.

`train.py` makes the three `tiny-*.safetensors` that lie here, `evaluate.py` measures them; docs/tiny-models.md has the
figures. They know rendered people: they are for trying the software, not for photographs.
"""
