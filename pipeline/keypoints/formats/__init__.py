"""One file a format of 2D joints; `table` tells them apart by what is in them."""
