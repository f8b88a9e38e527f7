"""Pure: bytes from and to typed messages. Imports no I/O and no clock."""
