"""Where a store lies: a folder or a URL, behind one interface."""
