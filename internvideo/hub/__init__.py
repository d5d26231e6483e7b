"""Models by name: configs and the published weights that fit them."""
