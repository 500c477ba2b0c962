"""SQL of the API: sets in, rows out; a constant number of queries whatever the size of the fleet."""
