"""What computing on a device needs: cores, precision, copies, tables kept there, its errors."""
