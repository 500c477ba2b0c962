"""Bounded fetching, for every service that reads from outside: addresses, sizes, times, checksums, compression."""
