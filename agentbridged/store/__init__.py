"""The durable record: one SQLite file."""
