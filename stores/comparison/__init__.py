"""Two stores compared: configuration, sequences, fields, and value by value."""
