"""Action recognition: encoder and head driven as one mmengine model."""
