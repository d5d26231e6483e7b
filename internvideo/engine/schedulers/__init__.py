"""Parameter schedules, computed from the step alone."""
