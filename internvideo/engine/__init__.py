"""Runner, hooks, optimisation and process set-up."""
