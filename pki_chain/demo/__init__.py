"""The demonstration: a whole consortium in real processes, the main job, and everything that must not get in."""
