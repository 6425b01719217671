"""Pages for people in a browser: what a process does, live, and what one may do about it. It knows no system."""
