"""What people would read windows with instead of `WindowLoader`, one rival a file."""
