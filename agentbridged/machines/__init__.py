"""Pure: events in, commands out. Time is an argument; nothing here awaits or touches I/O."""
