"""A soak: two bridges of real programs under random traffic and random faults, with a ledger."""
