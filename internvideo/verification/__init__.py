"""Reference cases of the published code: reading them, running them on this build, judging."""
