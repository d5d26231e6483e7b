"""How a model is placed on processes and devices."""
